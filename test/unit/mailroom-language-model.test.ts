import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type LanguageModel, languageModel, languageModelFrom } from '../../examples/mailroom/llm.ts';
import { parseLenient } from '../../examples/mailroom/parse.ts';

const MAIL = parseLenient(
  Buffer.from(`From: Ada <ada@example.org>\nSubject: lunch\n\n${'word '.repeat(10_000)}`),
);
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A model behind a server of this test. */
async function modelAt(listener: RequestListener, apiKey?: string): Promise<LanguageModel> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port.');
  return languageModel({ baseUrl: `http://127.0.0.1:${address.port}/v1/`, model: 'small', apiKey });
}

function answering(content: unknown): RequestListener {
  return (_request, response) => response.end(JSON.stringify({ choices: [{ message: { content } }] }));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer); // no encoding was set
  return Buffer.concat(pieces).toString();
}

const signal = new AbortController().signal;

describe('a language model', () => {
  it('is asked by one bounded request that carries the model, the key and the mail', async () => {
    const seen: { url?: string | undefined; key?: string | undefined; body?: string }[] = [];
    const model = await modelAt((request, response) => {
      void bodyOf(request).then((body) => {
        seen.push({ url: request.url, key: request.headers.authorization, body });
        answering('ham')(request, response as never);
      }); // a request that breaks off fails the call, which the test awaits
    }, 'secret');
    expect(await model.judge(MAIL, signal)).toEqual({ label: 'ham', score: 0 });
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ url: '/v1/chat/completions', key: 'Bearer secret' });
    const body = JSON.parse(seen[0]?.body ?? '') as { model: string; messages: { content: string }[] };
    expect(body.model).toBe('small');
    expect(body.messages[1]?.content).toContain('Subject: lunch');
    expect(seen[0]?.body?.length).toBeLessThan(6_000);
  });

  it.each([
    ['spam', 'spam'],
    [' Spam.\n', 'spam'],
    ['"ham"', 'ham'],
    ['**HAM**', 'ham'],
  ])('is understood when it answers %j', async (content, label) => {
    const model = await modelAt(answering(content));
    expect(await model.judge(MAIL, signal)).toMatchObject({ label });
  });

  it.each(['', 'spam ham', 'not spam', 'I think it is spam', 'spammy', 'spam\u001b[31m!'])(
    'is refused when it answers %j',
    async (content) => {
      const model = await modelAt(answering(content));
      await expect(model.judge(MAIL, signal)).rejects.toThrow(/in place of spam or ham\.$/);
    },
  );

  it.each(['', 'null', '[]', '{"choices":[]}', '{"choices":[{"message":{"content":1}}]}', '<html>'])(
    'is refused when its endpoint sends %j',
    async (text) => {
      const model = await modelAt((_request, response) => response.end(text));
      await expect(model.judge(MAIL, signal)).rejects.toThrow(/answered with no message/);
    },
  );

  it('is refused when its answer has no end', async () => {
    const model = await modelAt((_request, response) => {
      const more = (): void => {
        while (response.write(Buffer.alloc(16_384, 'x')));
      };
      response.on('drain', more);
      more();
    });
    await expect(model.judge(MAIL, signal)).rejects.toThrow(/passes 65536 bytes/);
  });

  it('is refused with the status, without a redirect followed, and when nobody listens', async () => {
    const busy = await modelAt((_request, response) => response.writeHead(429).end('slow down'));
    await expect(busy.judge(MAIL, signal)).rejects.toThrow(/status 429/);

    let asked = 0;
    const moved = await modelAt((_request, response) => {
      asked += 1;
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    await expect(moved.judge(MAIL, signal)).rejects.toThrow(/cannot be reached at http:\/\/127\.0\.0\.1/);
    expect(asked).toBe(1);

    servers.pop()?.close();
    await expect(moved.judge(MAIL, signal)).rejects.toMatchObject({ name: 'LanguageModelFailed' });
  });

  it('is no longer waited for when the signal aborts, and the reason comes through', async () => {
    const abort = new AbortController();
    const model = await modelAt(() => abort.abort(new Error('the turn is over')));
    await expect(model.judge(MAIL, abort.signal)).rejects.toThrow('the turn is over');
  });
});

describe('the settings of a language model', () => {
  it('name none when LLM_BASE_URL is absent or empty', () => {
    expect(languageModelFrom({})).toBeUndefined();
    expect(languageModelFrom({ LLM_BASE_URL: '' })).toBeUndefined();
  });

  it('are refused when the URL is none or the model is missing', () => {
    for (const url of ['localhost', 'file:///etc/passwd', 'ftp://example.org'])
      expect(() => languageModelFrom({ LLM_BASE_URL: url, LLM_MODEL: 'm' })).toThrow(/LLM_BASE_URL/);
    expect(() => languageModelFrom({ LLM_BASE_URL: 'http://127.0.0.1' })).toThrow(/LLM_MODEL/);
    expect(languageModelFrom({ LLM_BASE_URL: 'http://127.0.0.1', LLM_MODEL: 'm' })?.name).toBe('m');
  });
});
