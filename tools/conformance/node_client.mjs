// Read a stream by one of Node's clients, and print each event's data on a line: `node node_client.mjs NAME URL MODULE`.
const [name, url, module] = process.argv.slice(2);
const print = (data) => console.log(String(data).replaceAll('\n', ''));

if (name === 'openStream') {
  const { openStream } = await import(module);
  for await (const item of openStream({ url })) print(JSON.stringify(item));
} else {
  const { EventSource } = await import(module);
  new EventSource(url).onmessage = ({ data }) => print(data);
}
