/**
 * The page Live: one stream, one item per live session.
 *
 * @module
 */

import { sessionPath } from '../api.js';
import { byId, make, setChildren } from '../dom.js';
import { begin, openHub } from '../frame.js';

begin(() => {
  const { stream } = openHub({ snapshot: true });
  stream.subscribe(() => {
    const { conversation } = stream.getSnapshot();
    const items = Object.values(conversation.rooms).flatMap(({ room, sessions }) =>
      sessions
        .filter(({ ended }) => ended === undefined)
        .map(({ session_id }) => make('li', {}, make('a', { href: sessionPath(room, session_id) }, room))),
    );
    setChildren(byId('sessions'), items);
    byId('empty').hidden = items.length > 0;
  });
});
