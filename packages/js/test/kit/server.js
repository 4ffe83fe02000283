// A server that does what the test says, and remembers what it was asked.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { until } from './hub.js';

export const frame = (event, id = event.id) => `${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(event)}\n\n`;
export const connected = (cursor, more = {}) =>
  frame({ type: 'connected', client_id: 'c', cursor, server_time: 1, heartbeat: 15, ...more }, '');
export const event = (seq, more = {}) => frame({ id: `e-${seq}`, type: 'test', n: seq, ...more });

export class Server {
  /** @param {(request, response, nth: number) => unknown} answer Called for each request; `nth` counts from 1. */
  static async start(answer) {
    const server = new Server();
    server.requests = [];
    server.answer = answer;
    server.http = createServer((request, response) => {
      const url = new URL(request.url, 'http://h');
      server.requests.push({ at: Date.now(), method: request.method, path: url.pathname, query: url.searchParams, headers: request.headers });
      const nth = server.requests.length;
      request.socket.setNoDelay(true);
      response.on('close', () => (server.closed += 1));
      server.answer(request, response, nth);
    });
    server.closed = 0;
    server.http.listen(0, '127.0.0.1');
    await once(server.http, 'listening');
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  /** Wait for the nth request and return it. */
  async request(nth, patience) {
    return until(() => this.requests[nth - 1], `request ${nth}`, patience);
  }

  async stop() {
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, 'close');
  }
}

/** Begin a stream, and send what is there already. */
export function stream(response, ...frames) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
  response.flushHeaders();
  for (const text of frames) response.write(text);
  return response;
}

export function problem(response, status, detail, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ type: 'about:blank', title: 'Refused', status, detail }));
}
