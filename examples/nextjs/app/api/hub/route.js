import { streamRoute } from 'livekit-streaming-hub/next';

const { STREAM_URL, STREAM_KEY, STREAM_ROOM } = process.env;

// The key stays here. Replace `authorize` with your own sign-in: it gets the request, and returns the rooms that its sender
// may read, or a Response that refuses. Without STREAM_ROOM the route is open to everyone.
export const GET = streamRoute({
  url: STREAM_URL ?? 'http://127.0.0.1:5000',
  key: STREAM_KEY,
  authorize: STREAM_ROOM ? () => ({ room: STREAM_ROOM }) : 'public',
});
