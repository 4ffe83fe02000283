/**
 * Lets Node load the console's modules as a browser does: `/console/client/` is the JavaScript client's folder.
 * Used as `node --import .../resolve.js`.
 */

import { register } from 'node:module';

const hook = `
  const CLIENT = '/console/client/';
  const FOLDER = ${JSON.stringify(new URL('../../../../../packages/js/src/', import.meta.url).href)};
  export const resolve = (specifier, context, next) =>
    next(specifier.startsWith(CLIENT) ? FOLDER + specifier.slice(CLIENT.length) : specifier, context);
`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
