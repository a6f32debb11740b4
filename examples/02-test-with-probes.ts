import { agent, ask, protocol, type Ref, tell, type } from 'troupe';
import { withTestSystem } from 'troupe/testing';

const Model = protocol('model', { complete: ask(type<{ prompt: string }>(), type<string>()) });
const Alerts = protocol('alerts', { raise: tell(type<{ text: string; urgent: boolean }>()) });
const Triage = protocol('triage', { mail: tell(type<{ text: string }>()) });

const triage = agent(Triage, {
  state: (refs: { model: Ref<typeof Model>; alerts: Ref<typeof Alerts> }) => refs,
  on: {
    mail: async (ctx, { text }) => {
      const { model, alerts } = ctx.state;
      const label = await ctx.ask(model, 'complete', { prompt: `urgent? ${text}` }, { timeoutMs: 20_000 });
      ctx.tell(alerts, 'raise', { text, urgent: label === 'yes' });
    },
  },
});

await withTestSystem({}, async (system) => {
  const model = await system.probe(Model); // stands for the language model
  const alerts = await system.probe(Alerts);
  const ref = await system.spawn(triage, { args: { model: model.ref, alerts: alerts.ref } });

  model.replyTo('complete', ({ prompt }) => (prompt.includes('fire') ? 'yes' : 'no'));
  ref.tell('mail', { text: 'fire in the server room' });
  await alerts.expect('raise', { urgent: true });

  ref.tell('mail', { text: 'lunch?' }); // this one the model never answers
  await alerts.expectNone({ forMs: 60_000 }); // a minute of virtual time, and no real one
  console.log(`${system.now} ms, ${system.inspect(ref)?.restarts} restart`); // 60000 ms, 1 restart
});
