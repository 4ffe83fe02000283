/**
 * Lets Node load modules by the paths at which the hub serves them. Used as `node --import .../resolve.js`.
 */

import { register } from 'node:module';

const hook = `
  const FOLDERS = {
    '/console/client/': ${JSON.stringify(new URL('../../../../../packages/js/src/', import.meta.url).href)},
    '/console/static/': ${JSON.stringify(new URL('../../../../../streaming_hub/web/console/static/', import.meta.url).href)},
  };
  export function resolve(specifier, context, next) {
    const folder = FOLDERS[specifier.slice(0, 16)];
    return next(folder ? folder + specifier.slice(16) : specifier, context);
  }
`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
