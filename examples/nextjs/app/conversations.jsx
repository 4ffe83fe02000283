'use client';

import { useConversation } from 'livekit-streaming-hub/react';

/** Every room's transcript, from this site's own route. */
export default function Conversations() {
  const { rooms, status, missed, reason, error } = useConversation({ url: '/api/hub', snapshot: true });
  return (
    <>
      <p role="status">{status}</p>
      {error && <p>{error.message}</p>}
      {missed !== 0 && (
        <p role="alert">
          {missed ?? 'Some'} events are missing ({reason}).
        </p>
      )}
      {Object.values(rooms).map(({ room, agent_state, transcript }) => (
        <section key={room} aria-label={room}>
          <h2>{room}</h2>
          <p>The agent is {agent_state ?? 'not there'}.</p>
          <ol aria-label="Transcript">
            {transcript.map(({ segment_id, participant, role, text, is_final }, index) => (
              <li key={segment_id ?? index} className={is_final ? undefined : 'interim'}>
                <b>{participant ?? role}</b> {text}
              </li>
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}
