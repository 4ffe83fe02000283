/** The wall: one stream, one item per live session. @module */
import { openStream } from '/console/client/index.js';
import { arrange, duration, rowOf, since } from '/console/static/wall.js';

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const STATUS = { connecting: 'Connecting', 'catching-up': 'Catching up', live: 'Live', gap: 'Catching up after a gap', refused: 'Refused', closed: 'Closed' };
const KEY = 'access-key';
/** @type {Map<string, any>} */
let times = new Map();
/** @type {Map<string, any>} */
const items = new Map();
/** @type {any} */
let stream;

function connect() {
  stream?.close();
  times = new Map();
  stream = openStream({ url: '/api/stream', snapshot: true, key: () => sessionStorage.getItem(KEY) });
  stream.subscribe(draw);
  const own = stream;
  (async () => { for await (const _ of own); })().catch((error) => {
    if (own !== stream) return;
    $('access').hidden = false;
    $('refusal').textContent = error.message;
  });
  draw();
}

function draw() {
  const { status, conversation } = stream.getSnapshot();
  const said = STATUS[/** @type {keyof typeof STATUS} */ (status)];
  if ($('connection').textContent !== said) $('connection').textContent = said;
  const now = Date.now() / 1000;
  const next = new Map();
  const rows = [];
  for (const room of Object.values(conversation.rooms)) {
    next.set(room.room, since(times.get(room.room), room));
    const row = rowOf(room, next.get(room.room), now);
    if (row) rows.push(row);
  }
  times = next;
  $('totals').textContent = `${rows.length} live, ${rows.filter((row) => row.trouble.length).length} in trouble`;
  $('empty').hidden = rows.length > 0;
  const shown = arrange(rows, $('sort').value, $('filter').value);
  const names = new Set(shown.map((row) => row.room));
  for (const [room, item] of items) if (!names.has(room)) { item.li.remove(); items.delete(room); }
  shown.forEach((row, index) => {
    const item = items.get(row.room) ?? create(row.room);
    set(item.facts, `${row.people.join(', ')} · ${row.started === null ? '' : duration(now - row.started)} · ${row.state}`);
    set(item.words, row.words);
    if (item.told !== row.trouble.join()) {
      item.told = row.trouble.join();
      item.trouble.replaceChildren(...row.trouble.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
      item.li.classList.toggle('troubled', row.trouble.length > 0);
      item.trouble.hidden = !row.trouble.length;
    }
    if ($('sessions').children[index] !== item.li) $('sessions').insertBefore(item.li, $('sessions').children[index] ?? null);
  });
}

/** @param {string} room */
function create(room) {
  const made = (/** @type {string} */ tag, /** @type {string} */ name) => Object.assign(document.createElement(tag), { className: name, dir: 'auto' });
  const item = { li: document.createElement('li'), name: made('p', 'name'), facts: made('p', 'facts'), words: made('p', 'words'), trouble: made('ul', 'trouble'), told: '' };
  item.name.textContent = room;
  item.trouble.setAttribute('aria-label', 'Trouble');
  item.trouble.hidden = true;
  item.li.append(item.name, item.facts, item.words, item.trouble);
  items.set(room, item);
  return item;
}

/** @param {HTMLElement} element @param {string} text */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

$('access').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $('key').value);
  $('access').hidden = true;
  connect();
});
$('sort').addEventListener('change', draw);
$('filter').addEventListener('input', draw);
setInterval(draw, 1000);
connect();
