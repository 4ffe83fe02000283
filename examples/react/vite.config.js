import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The page connects to its own origin, and Vite proxies the stream: the key stays here.
const { STREAM_URL = 'http://127.0.0.1:5000', STREAM_KEY } = process.env;
const proxy = {
  '/api/stream': {
    target: STREAM_URL,
    changeOrigin: true,
    headers: STREAM_KEY ? { Authorization: `Bearer ${STREAM_KEY}` } : {},
    // If the hub's stream breaks off, end the page's, too: it would notice only by the silence.
    configure: (server) => server.on('proxyRes', (hub, _, page) => hub.on('close', () => page.end())),
  },
};

export default defineConfig({ plugins: [react()], server: { proxy }, preview: { proxy } });
