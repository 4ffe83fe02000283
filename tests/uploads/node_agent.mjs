// The agent of agent.py in JavaScript, as its author would write it (@livekit/agents). Run by tests/uploads/record.py.
import { ServerOptions, cli, defineAgent, llm, voice } from '@livekit/agents';
import * as openai from '@livekit/agents-plugin-openai';
import * as silero from '@livekit/agents-plugin-silero';
import { fileURLToPath } from 'node:url';

class Assistant extends voice.Agent {
  constructor() {
    super({
      instructions: 'You are a friendly assistant. SECRET-PROMPT.',
      tools: {
        current_time: llm.tool({
          description: 'Tell the time in a time zone.',
          parameters: {
            type: 'object',
            properties: { time_zone: { type: 'string' } },
            required: ['time_zone'],
            additionalProperties: false,
          },
          execute: async ({ time_zone }) => `noon in ${time_zone}`,
        }),
      },
    });
  }

  async onEnter() {
    this.session.generateReply({ instructions: 'Greet the user.' });
  }
}

export default defineAgent({
  prewarm: async (proc) => {
    proc.userData.vad = await silero.VAD.load();
  },
  entry: async (ctx) => {
    const baseURL = process.env.OPENAI_BASE_URL;
    const session = new voice.AgentSession({
      vad: ctx.proc.userData.vad,
      stt: new openai.STT({ baseURL }),
      llm: new openai.LLM({ model: 'gpt-4o-mini', baseURL }),
      tts: new openai.TTS({ baseURL }),
      turnHandling: { turnDetection: 'vad', interruption: { mode: 'vad' } },
    });
    await session.start({ agent: new Assistant(), room: ctx.room, record: true });
    await ctx.connect();
  },
});

cli.runApp(
  new ServerOptions({
    agent: fileURLToPath(import.meta.url),
    host: '127.0.0.1',
    port: Number(process.env.PORT ?? 0), // 0 becomes 8081
    numIdleProcesses: 1,
    loadFunc: async () => 0, // a busy machine takes calls, too
  }),
);
