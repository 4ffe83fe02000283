// pages/api/agent-proxy.js: the hub's stream behind your own site, so that the key stays on the server.
//
// Node has no EventSource (20: none; 22 and later: only with --experimental-eventsource), and a proxy that parses events
// and writes `data:` alone would lose their ids, so that browsers could not resume. This one passes the bytes on.
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
        res.writeHead(stream.status, {
            'Content-Type': stream.headers.get('Content-Type') ?? 'application/json',
            'Cache-Control': 'no-store, no-transform',
            'X-Accel-Buffering': 'no',
        });
        for await (const bytes of stream.body) res.write(bytes);
        res.end();
    } catch (error) {
        if (gone.signal.aborted) return;
        if (res.headersSent) {
            res.end(); // the browser reconnects and resumes by itself
        } else {
            // Any status but 200 would make a browser's EventSource give up for good.
            res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
            res.end('retry: 3000\ndata: {"type":"goodbye","reason":"hub_unreachable","retry_ms":3000}\n\n');
        }
    }
}
