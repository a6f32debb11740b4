import { agent, ask, protocol, tell, type } from 'troupe';
import { explore, type TestSystem } from 'troupe/testing';

const Stock = protocol('stock', { left: ask(type<void>(), type<number>()), take: tell() });
const Buyer = protocol('buyer', { buy: tell() });

/** Two buyers look, and then take: there is one left. */
async function scenario(system: TestSystem): Promise<void> {
  let count = 1;
  const stock = await system.spawn(agent(Stock, { on: { left: () => count, take: () => count-- } }));
  const buyer = agent(Buyer, {
    on: {
      buy: async (ctx) => {
        if ((await ctx.ask(stock, 'left')) > 0) ctx.tell(stock, 'take');
      },
    },
  });
  const buyers = [await system.spawn(buyer), await system.spawn(buyer)];
  for (const each of buyers) each.tell('buy');
  await system.settle();
  if (count < 0) throw new Error(`${count} left`);
}

await explore({ scenario }).catch((error: unknown) => console.log(String(error).split('\n')[0]));
