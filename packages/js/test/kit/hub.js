// A real hub as a child process, with its history in memory.
//
// HUB_PYTHON: the interpreter that has the hub's packages; without it `uv run python`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const PATIENCE = 30_000;

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Wait until `probe` answers something true, and return it. */
export async function until(probe, what = 'it', patience = PATIENCE) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export class Hub {
  /** @param {Record<string, string>} settings Environment variables. */
  static async start(settings = {}, port = 0) {
    const hub = new Hub();
    hub.settings = settings;
    hub.folder = await mkdtemp(join(tmpdir(), 'hub-'));
    hub.port = port || (await freePort());
    hub.url = `http://127.0.0.1:${hub.port}`;
    await hub.run();
    return hub;
  }

  async run() {
    const own = /^(STREAM|LIVEKIT|OPENAI|AGENT)_/;
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
    const python = process.env.HUB_PYTHON ? [process.env.HUB_PYTHON] : ['uv', 'run', '--project', ROOT, 'python'];
    const [command, ...before] = python;
    this.output = '';
    this.process = spawn(command, [...before, join(ROOT, 'flask_server.py'), '--port', String(this.port)], {
      cwd: this.folder,
      env: { ...inherited, STREAM_HISTORY: 'memory://', ...this.settings },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: `uv run` does not pass SIGKILL on to the hub.
      detached: true,
    });
    for (const pipe of [this.process.stdout, this.process.stderr]) pipe.on('data', (text) => (this.output += text));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(`the hub ended:\n${this.output}`);
      const answer = await fetch(`${this.url}/api/health`).catch(() => null);
      return answer?.ok;
    }, 'the hub');
  }

  async ask(path, { body, key, method } = {}) {
    const answer = await fetch(this.url + path, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { 'Content-Type': 'application/json', ...(key && { Authorization: `Bearer ${key}` }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  post(event, key) {
    return this.ask('/api/agent/data', { body: event, key });
  }

  async clients() {
    return (await this.ask('/api/health')).clients;
  }

  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    process.kill(-this.process.pid, 'SIGKILL');
    await once(this.process, 'exit');
  }

  async stop() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
