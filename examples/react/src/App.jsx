import { useState } from 'react';
import { useConversation } from 'livekit-streaming-hub/react';
import Room from './Room.jsx';

/** One connection for the whole page: the hook is called here, and its result is passed down. */
export default function App() {
  const { rooms, status, missed, reason, error } = useConversation({ url: '/api/stream', snapshot: true });
  const [chosen, choose] = useState('');
  const newest = Object.values(rooms).sort((a, b) => b.last_seq - a.last_seq);
  const room = rooms[chosen] ?? newest[0];
  return (
    <main>
      <h1>Live conversations</h1>
      <p role="status">{status}</p>
      {error && <p>{error.message}</p>}
      {missed !== 0 && (
        <p role="alert">
          {missed ?? 'Some'} events are missing ({reason}).
        </p>
      )}
      <label>
        Room{' '}
        <select value={chosen} onChange={(event) => choose(event.target.value)}>
          <option value="">the newest</option>
          {Object.keys(rooms)
            .sort()
            .map((name) => (
              <option key={name}>{name}</option>
            ))}
        </select>
      </label>
      {room ? <Room room={room} /> : <p>Nobody has said anything yet.</p>}
    </main>
  );
}
