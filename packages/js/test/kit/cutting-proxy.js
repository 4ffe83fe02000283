// A TCP proxy that cuts its connections when it is told to, wherever in the bytes they are.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class CuttingProxy {
  static async start(port) {
    const proxy = new CuttingProxy();
    proxy.pairs = new Set();
    proxy.server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      const pair = [near, far];
      proxy.pairs.add(pair);
      near.pipe(far);
      far.pipe(near);
      for (const socket of pair) {
        socket.on('error', () => {});
        socket.on('close', () => {
          proxy.pairs.delete(pair);
          pair.forEach((other) => other.destroy());
        });
      }
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** Cut all connections, and return their number. */
  cut() {
    const count = this.pairs.size;
    for (const [near] of this.pairs) near.resetAndDestroy();
    return count;
  }

  async stop() {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
