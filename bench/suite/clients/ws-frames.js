'use strict';
// One text message of 24 bytes (RFC 6455 §5.2), as a client sends it, masked by zero, and as a server does.

const text = Buffer.alloc(24, 'x');

module.exports = {
  REQUEST: Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]),
  ANSWER: Buffer.concat([Buffer.from([0x81, text.length]), text]),
};
