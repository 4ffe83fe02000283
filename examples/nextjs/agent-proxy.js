// pages/api/agent-proxy.js: the hub's stream behind your own site, so that the key stays on the server.
//
// Node has no EventSource (20: none; 22 and later: only with --experimental-eventsource), and a proxy that parses events
// and writes `data:` alone would lose their ids, so that browsers could not resume. This one passes the bytes on.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const HUB = process.env.STREAM_URL ?? 'http://localhost:5000';
const KEY = process.env.STREAM_KEY;

// Next.js must not compress a stream: it would hold events back until a block is full.
export const config = { api: { responseLimit: false } };

export default async function handler(req, res) {
    if (req.method !== 'GET') {
        res.writeHead(405, { Allow: 'GET' }).end();
        return;
    }
    const gone = new AbortController();
    res.on('close', () => gone.abort());
    const headers = { Accept: 'text/event-stream' };
    if (KEY) headers.Authorization = `Bearer ${KEY}`;
    if (req.headers['last-event-id']) headers['Last-Event-ID'] = req.headers['last-event-id'];
    try {
        // Filters are passed on. Check here who your user is, and set `room` yourself where that matters.
        const query = new URL(req.url, 'http://localhost').search;
        const stream = await fetch(`${HUB}/api/stream${query}`, { headers, signal: gone.signal });
        const type = stream.headers.get('Content-Type') ?? '';
        if (!/^text\/event-stream\b/.test(type) && (stream.status >= 500 || !/^application\/problem\+json\b/.test(type))) {
            throw new Error(`${stream.status} (${type}): the hub is away, or something else answers in its place`);
        }
        res.writeHead(stream.status, {
            'Content-Type': type,
            'Cache-Control': 'no-store, no-transform',
            'X-Accel-Buffering': 'no',
        });
        // At the reader's pace: while it takes nothing, nothing is read from the hub, and no memory fills up here. Where
        // the hub's stream breaks off, so does this one, and the browser reconnects and resumes by itself.
        await pipeline(Readable.fromWeb(stream.body), res, { signal: gone.signal });
    } catch (error) {
        if (gone.signal.aborted || res.headersSent) return;
        console.error(`agent-proxy: ${error.message}`);
        // Any status but 200 would make a browser's EventSource give up for good.
        res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
        res.end('retry: 3000\ndata: {"type":"goodbye","reason":"hub_unreachable","retry_ms":3000}\n\n');
    }
}
