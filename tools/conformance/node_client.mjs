// Read a stream by one of Node's clients, and print each event's data on a line: `node node_client.mjs NAME URL MODULE`.
const [name, url, module] = process.argv.slice(2);
const print = (data) => console.log(String(data).replaceAll('\n', ''));
const printError = (error) => print(JSON.stringify({ error }));

if (name === 'openStream') {
  const { openStream } = await import(module);
  try {
    for await (const item of openStream({ url })) print(JSON.stringify(item));
  } catch (error) {
    printError(`${error.status} ${error}`);
  }
} else {
  const { EventSource } = await import(module);
  const source = new EventSource(url);
  source.onmessage = ({ data }) => print(data);
  source.onerror = ({ code, message }) => {
    if (source.readyState === EventSource.CLOSED) printError(`${code} ${message}`);
  };
}
