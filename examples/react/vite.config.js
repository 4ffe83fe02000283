import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The page asks its own origin, and this passes the stream on to the hub: the key stays here.
const { STREAM_URL = 'http://127.0.0.1:5000', STREAM_KEY } = process.env;
const proxy = {
  '/api/stream': {
    target: STREAM_URL,
    changeOrigin: true,
    headers: STREAM_KEY ? { Authorization: `Bearer ${STREAM_KEY}` } : {},
    // A hub's stream that breaks off would leave the page's open: it would notice by the silence only.
    configure: (server) => server.on('proxyRes', (hub, _, page) => hub.on('close', () => page.end())),
  },
};

export default defineConfig({ plugins: [react()], server: { proxy }, preview: { proxy } });
