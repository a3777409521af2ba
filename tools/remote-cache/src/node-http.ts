/**
 * Node's own. An `import` of it reads all that it exports, and that loads Node's WebSocket with all of its client for
 * HTTP: 14 MB that nobody uses here.
 */
export const { createServer, request } = process.getBuiltinModule('node:http');
