// Reduces what comes on standard input, for tests in other languages: a line is an array of events, and the answer's
// line the rooms after each of them and after all at once.
import { createInterface } from 'node:readline';
import { emptyConversation, reduceConversation } from '../../src/index.js';
import { reduceAll } from '../../src/conversation.js';

for await (const line of createInterface({ input: process.stdin })) {
  const events = JSON.parse(line);
  const steps = [];
  let state = emptyConversation();
  for (const event of events) {
    state = reduceConversation(state, event);
    steps.push(state.rooms);
  }
  process.stdout.write(`${JSON.stringify({ steps, atOnce: reduceAll(undefined, events).rooms })}\n`);
}
