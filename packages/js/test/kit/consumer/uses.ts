// A program of somebody who uses the package, for the type checker.
import { Gap, Refused, emptyConversation, openStream, reduceConversation } from 'livekit-streaming-hub';
import type { Conversation, HubEvent, Snapshot } from 'livekit-streaming-hub';
import { verifyWebhook } from 'livekit-streaming-hub/webhook';
import { streamRoute } from 'livekit-streaming-hub/next';

async function ticket(): Promise<string> {
  return 'ticket';
}

export async function follow(signal: AbortSignal): Promise<number | null> {
  const stream = openStream({ url: 'http://localhost:5000', ticket, key: () => null, room: ['a', 'b'], since: null, snapshot: true, signal });
  let state: Conversation = emptyConversation();
  try {
    for await (const item of stream) {
      state = reduceConversation(state, item);
      if (item instanceof Gap) {
        const missed: number | null = item.missed;
        console.log(missed, item.reason);
      } else {
        const event: HubEvent = item;
        console.log(event.type, event.order);
      }
    }
  } catch (error) {
    if (error instanceof Refused) console.log(error.status, error.detail);
  }
  const snapshot: Snapshot = stream.getSnapshot();
  const words: string | undefined = snapshot.conversation.rooms['a']?.transcript[0]?.text;
  console.log(words, snapshot.status === 'live', state);
  const unsubscribe: () => void = stream.subscribe(() => {});
  unsubscribe();
  return snapshot.missed;
}

export const GET: (request: Request) => Promise<Response> = streamRoute({
  url: 'http://localhost:5000',
  authorize: async (request) => (request.headers.get('Cookie') ? { room: 'a' } : new Response(null, { status: 401 })),
});

export async function receive(request: Request): Promise<string> {
  const message = await verifyWebhook(await request.text(), request.headers, ['whsec_a', 'whsec_b']);
  return message.data.type;
}
