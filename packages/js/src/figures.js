/**
 * Computes a session's figures, turns and transcript from its events: what `GET /api/sessions/ID` returns to operators,
 * except what only an archive knows (`recorded`, `incomplete`, `missing_events`).
 *
 * Uses the same formulas as the hub's archive and is tested with the same vectors, so that a session has the same
 * figures live, from the archive and from a recording. Times are in seconds.
 *
 * @module
 */

import { countWords } from './words.js';

export { countWords };

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {{ count: number, p50: number, p90: number, p95: number, p99: number, max: number }} Percentiles */
/**
 * @typedef {object} SessionDetail
 * @property {Record<string, any>} session
 * @property {Record<string, any>[]} turns
 * @property {Record<string, any>[]} transcript Final transcripts.
 * @property {Record<string, any>[]} tools
 * @property {Record<string, any>[]} errors
 */
/** @typedef {{ take: (event: HubEvent) => void, detail: () => SessionDetail }} SessionFigures */
/** @typedef {{ role: string, participant: string | null, turn_id: string | null, started: number, stopped: number | null, told: boolean }} Speech */
/** @typedef {[start: number, stop: number]} Interval */

const MAX_TIME = 1e11;
/** LiveKit's own figures of a turn. */
const STAGES = ['e2e_latency', 'transcription_delay', 'end_of_turn_delay', 'llm_node_ttft', 'tts_node_ttfb', 'playback_latency'];
const PERCENTS = /** @type {const} */ ([50, 90, 95, 99]);
/** Number of talk intervals searched for the one that a transcript belongs to. */
const LOOK_BACK = 50;

/**
 * Return the figures of a session's events.
 *
 * @param {Iterable<HubEvent>} events All of one session, in the stream's order.
 * @returns {SessionDetail}
 */
export function figuresOf(events) {
  const session = createSession();
  for (const event of events) session.take(event);
  return session.detail();
}

/**
 * Return a session that takes events as they arrive.
 *
 * @returns {SessionFigures}
 */
export function createSession() {
  /** @type {HubEvent | undefined} */
  let first;
  let started = 0;
  let newest = 0;
  /** @type {number | null} */
  let ended = null;
  /** @type {string | null} */
  let reason = null;
  /** @type {string | null} */
  let agent = null;
  /** @type {number | null} */
  let firstAgentSpeech = null;
  /** @type {any[] | null} */
  let usage = null;
  const words = { user: 0, agent: 0 };
  let interruptions = 0;
  let falseInterruptions = 0;
  /** @type {Map<string, { identity: string, role: string | null }>} */
  const people = new Map();
  /** @type {Map<string, Record<string, any>>} */
  const turns = new Map();
  /** @type {Record<string, any>[]} */
  const transcript = [];
  /** @type {Record<string, any>[]} */
  const tools = [];
  /** @type {Record<string, any>[]} */
  const errors = [];
  /** @type {Speech[]} */
  const speeches = [];
  /** @type {Speech[]} */
  let open = [];

  /** @param {HubEvent} event */
  const notePerson = (event) => {
    const identity = textOf(event, 'participant');
    if (!identity || event.audience === 'operator') return;
    const role = textOf(event, 'role');
    const known = people.get(identity);
    if (!known) people.set(identity, { identity, role });
    else known.role ??= role;
  };

  /**
   * @param {HubEvent} event
   * @param {number} at
   */
  const turnOf = (event, at) => {
    const turn_id = textOf(event, 'turn_id');
    if (!turn_id) return null;
    let turn = turns.get(turn_id);
    if (!turn) {
      turn = {
        turn_id,
        index: turns.size,
        started: at,
        user_text: null,
        agent_text: null,
        user_started: null,
        user_stops: [],
        agent_started: null,
        agent_stopped: null,
        interrupted: false,
        tools: [],
      };
      for (const stage of STAGES) turn[stage] = null;
      turns.set(turn_id, turn);
    }
    return turn;
  };

  /**
   * @param {string} role
   * @param {HubEvent} event
   */
  const findOpen = (role, event) =>
    open.find((speech) => speech.role === role && speech.participant === textOf(event, 'participant'));

  /**
   * The latest speech of the same voice and turn, unless an earlier transcript belongs to it.
   *
   * @param {Record<string, any>} said
   */
  const speechOf = (said) => {
    for (const speech of speeches.slice(-LOOK_BACK).reverse()) {
      const isSameVoice =
        speech.participant === null || said.participant === null || speech.participant === said.participant;
      if (speech.role !== said.role || speech.turn_id !== said.turn_id || !isSameVoice) continue;
      if (speech.told) return null;
      speech.told = true;
      return speech;
    }
    return null;
  };

  /**
   * @param {HubEvent} event
   * @param {Record<string, any> | null} turn
   */
  const toolOf = (event, turn) => {
    const call_id = textOf(event, 'call_id');
    let tool = call_id ? tools.find((one) => one.call_id === call_id) : undefined;
    if (!tool) {
      tool = {
        call_id,
        turn_id: turn?.turn_id ?? null,
        name: null,
        arguments: null,
        output: null,
        status: null,
        started: null,
        duration: null,
        ended: false,
      };
      tools.push(tool);
      turn?.tools.push(tool);
    }
    tool.name ??= textOf(event, 'name');
    return tool;
  };

  /**
   * @param {'user' | 'agent'} role
   * @param {HubEvent} event
   * @param {number} now
   * @param {Record<string, any> | null} turn
   */
  const startSpeech = (role, event, now, turn) => {
    const at = timeOf(event, 'started_at') ?? now;
    if (!findOpen(role, event)) {
      const participant = textOf(event, 'participant');
      const speech = { role, participant, turn_id: turn?.turn_id ?? null, started: at, stopped: null, told: false };
      speeches.push(speech);
      open.push(speech);
    }
    if (role === 'agent') firstAgentSpeech = Math.min(firstAgentSpeech ?? at, at);
    if (turn) turn[`${role}_started`] = Math.min(turn[`${role}_started`] ?? at, at);
  };

  /**
   * @param {'user' | 'agent'} role
   * @param {HubEvent} event
   * @param {number} now
   * @param {Record<string, any> | null} turn
   */
  const stopSpeech = (role, event, now, turn) => {
    const at = timeOf(event, 'stopped_at') ?? now;
    const speech = findOpen(role, event);
    if (speech) speech.stopped = at;
    open = open.filter((one) => one !== speech);
    if (!turn) return;
    if (role === 'user') turn.user_stops.push(at);
    else {
      turn.agent_stopped = Math.max(turn.agent_stopped ?? at, at);
      turn.interrupted ||= event.interrupted === true;
    }
  };

  /**
   * @param {HubEvent} event
   * @param {number} at
   * @param {Record<string, any> | null} turn
   */
  const takeTranscript = (event, at, turn) => {
    if (event.is_final === false) return;
    const [role, text] = [textOf(event, 'role'), textOf(event, 'text')];
    /** @type {Record<string, any>} */
    const said = {
      at,
      role,
      participant: textOf(event, 'participant'),
      turn_id: turn?.turn_id ?? null,
      text,
      interrupted: event.interrupted === true,
    };
    said.speech = speechOf(said);
    transcript.push(said);
    if (role !== 'user' && role !== 'agent') return;
    words[role] += text ? countWords(text) : 0;
    if (!turn) return;
    const field = `${role}_text`;
    if (text !== null) turn[field] = turn[field] === null ? text : `${turn[field]} ${text}`;
    turn.interrupted ||= role === 'agent' && said.interrupted;
  };

  /** @type {Map<unknown, (event: HubEvent, at: number, turn: Record<string, any> | null) => void>} */
  const rules = new Map([
    ['session_started', (event) => (agent ??= textOf(event, 'agent_name'))],
    [
      'session_ended',
      (event, at) => {
        if (ended === null) [ended, reason] = [at, textOf(event, 'reason')];
      },
    ],
    ['user_speech_started', (event, at, turn) => startSpeech('user', event, at, turn)],
    ['agent_speech_started', (event, at, turn) => startSpeech('agent', event, at, turn)],
    ['user_speech_finished', (event, at, turn) => stopSpeech('user', event, at, turn)],
    ['agent_speech_finished', (event, at, turn) => stopSpeech('agent', event, at, turn)],
    ['transcript', takeTranscript],
    [
      'interruption',
      (_event, _at, turn) => {
        interruptions++;
        if (turn) turn.interrupted = true;
      },
    ],
    ['agent_false_interruption', () => falseInterruptions++],
    // As agents that are not LiveKit's may call it.
    ['false_interruption', () => falseInterruptions++],
    [
      'tool_call_started',
      (event, at, turn) => {
        const tool = toolOf(event, turn);
        tool.started ??= at;
        tool.arguments = event.arguments ?? null;
      },
    ],
    [
      'tool_call_finished',
      (event, at, turn) => {
        const tool = toolOf(event, turn);
        tool.ended = true;
        tool.status = textOf(event, 'status');
        tool.output = event.output ?? null;
        tool.duration = numberOf(event, 'duration');
        if (tool.started !== null) tool.duration ??= rounded(Math.max(0, at - tool.started));
      },
    ],
    [
      'turn_metrics',
      (event, _at, turn) => {
        // Only the first per turn: a reply after a tool call has figures of its own, but the user waited for the first.
        if (turn) for (const stage of STAGES) turn[stage] ??= numberOf(event, stage);
      },
    ],
    [
      'usage',
      (event) => {
        if (Array.isArray(event.model_usage)) usage = event.model_usage;
      },
    ],
    [
      'error',
      (event, at, turn) =>
        errors.push({
          at,
          turn_id: turn?.turn_id ?? null,
          source: textOf(event, 'source'),
          message: textOf(event, 'message'),
          recoverable: typeof event.recoverable === 'boolean' ? event.recoverable : null,
        }),
    ],
  ]);

  /** @returns {Record<string, any>} */
  const summary = () => {
    const end = ended ?? newest;
    const duration = rounded(Math.max(0, end - started));
    /** @param {string} role */
    const talk = (role) =>
      speeches.filter((speech) => speech.role === role).map(({ started: from, stopped }) => [from, stopped ?? end]);
    const [user, answer] = /** @type {[Interval[], Interval[]]} */ ([talk('user'), talk('agent')]);
    const [userTalk, agentTalk, either] = [length(user), length(answer), length([...user, ...answer])];
    const hasFirst = firstAgentSpeech !== null && firstAgentSpeech >= started;
    const all = [...turns.values()];
    return {
      session_id: (first && textOf(first, 'session_id')) ?? '',
      room: first ? textOf(first, 'room') : null,
      agent,
      state: ended === null ? 'live' : 'ended',
      started,
      ended,
      duration,
      reason,
      participants: [...people.values()].map((person) => ({ ...person })),
      turns: turns.size,
      first_response: hasFirst ? rounded(/** @type {any} */ (firstAgentSpeech) - started) : null,
      user_talk: rounded(userTalk),
      agent_talk: rounded(agentTalk),
      overlap: rounded(Math.max(0, userTalk + agentTalk - either)),
      silence: rounded(Math.max(0, duration - either)),
      user_words: words.user,
      agent_words: words.agent,
      interruptions,
      false_interruptions: falseInterruptions,
      tool_calls: tools.length,
      tool_failures: tools.filter((tool) => (tool.ended ? tool.status !== 'done' : ended !== null)).length,
      errors: errors.length,
      latency: percentiles(all.map((turn) => turn.e2e_latency)),
      heard_latency: percentiles(all.map(heardLatency)),
      usage,
    };
  };

  return {
    take(event) {
      if (event.type === 'session_report') return;
      if (!first) {
        first = event;
        started = newest = timeOf(event, 'timestamp') ?? 0;
      }
      const at = timeOf(event, 'timestamp') ?? newest;
      newest = Math.max(newest, at);
      notePerson(event);
      const turn = turnOf(event, at);
      rules.get(event.type)?.(event, at, turn);
    },

    detail: () => ({
      session: summary(),
      turns: [...turns.values()].map(({ user_stops, tools: called, ...turn }) => ({
        ...turn,
        user_stopped: user_stops.length ? Math.max(...user_stops) : null,
        heard_latency: heardLatency({ ...turn, user_stops }),
        tools: called.map((/** @type {Record<string, any>} */ tool) => tool.call_id),
      })),
      transcript: transcript.map(({ speech, ...said }) => ({
        ...said,
        started: speech?.started ?? null,
        stopped: speech?.stopped ?? null,
      })),
      tools: tools.map(({ ended: _, ...tool }) => ({ ...tool })),
      errors: errors.map((error) => ({ ...error })),
    }),
  };
}

/**
 * Percentiles by nearest rank: the smallest value that at least p percent of the values do not exceed.
 *
 * @param {Iterable<number | null>} values Nulls are left out.
 * @returns {Percentiles | null} Null where there are none.
 */
export function percentiles(values) {
  const present = /** @type {number[]} */ ([...values].filter((value) => value !== null)).sort((one, other) => one - other);
  if (!present.length) return null;
  const ranks = PERCENTS.map((percent) => [`p${percent}`, present[Math.floor((percent * present.length + 99) / 100) - 1]]);
  return { count: present.length, ...Object.fromEntries(ranks), max: present.at(-1) };
}

/**
 * How long the user waited: from the last end of the user's speech to the agent's first sound after it.
 *
 * @param {Record<string, any>} turn
 * @returns {number | null}
 */
function heardLatency({ agent_started, user_stops }) {
  if (agent_started === null) return null;
  /** @type {number[]} */
  const stops = user_stops.filter((/** @type {number} */ stop) => stop <= agent_started);
  return stops.length ? rounded(agent_started - Math.max(...stops)) : null;
}

/**
 * The length of the intervals' union; intervals that end before they begin are ignored.
 *
 * @param {Interval[]} intervals
 */
function length(intervals) {
  let total = 0;
  /** @type {Interval | undefined} */
  let last;
  for (const [start, stop] of intervals
    .filter(([from, to]) => from < to)
    .sort((one, other) => one[0] - other[0] || one[1] - other[1])) {
    if (last && start <= last[1]) last[1] = Math.max(last[1], stop);
    else {
      if (last) total += last[1] - last[0];
      last = [start, stop];
    }
  }
  return last ? total + (last[1] - last[0]) : 0;
}

/**
 * Round to whole microseconds: further digits of a double are noise.
 *
 * @param {number} seconds
 */
const rounded = (seconds) => Math.floor(seconds * 1e6 + 0.5) / 1e6;

/**
 * A field that is a string without NUL, which the archive's databases cannot hold.
 *
 * @param {HubEvent} event
 * @param {string} field
 * @returns {string | null}
 */
const textOf = (event, field) => {
  const value = event[field];
  return typeof value === 'string' && !value.includes('\0') ? value : null;
};

/**
 * @param {HubEvent} event
 * @param {string} field
 * @returns {number | null}
 */
const numberOf = (event, field) => {
  const value = event[field];
  return typeof value === 'number' && Math.abs(value) < MAX_TIME ? value : null;
};

/**
 * @param {HubEvent} event
 * @param {string} field
 * @returns {number | null} Seconds since 1970.
 */
const timeOf = (event, field) => {
  const value = numberOf(event, field);
  return value !== null && value >= 0 ? value : null;
};
