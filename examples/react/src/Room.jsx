/** One room's present state: `room` has the fields of the hub's `GET /api/rooms/NAME`. */
export default function Room({ room }) {
  const { transcript, tools = [], agent_state, speaking } = room;
  const running = tools.filter(({ status }) => status === 'running');
  return (
    <section aria-label={room.room}>
      <h2>{room.room}</h2>
      <p>
        The agent is {agent_state ?? 'not there'}.{speaking.length > 0 && ` Speaking: ${speaking.join(', ')}.`}
        {running.length > 0 && ` Running: ${running.map(({ name }) => name).join(', ')}.`}
      </p>
      <ol aria-label="Transcript">
        {transcript.map((line, index) => (
          // An interim keeps its segment, so that its words change in place.
          <li key={line.segment_id ?? index} className={line.is_final ? undefined : 'interim'}>
            <b>{line.participant ?? line.role}</b> {line.text}
            {line.interrupted && <i> (interrupted)</i>}
          </li>
        ))}
      </ol>
    </section>
  );
}
