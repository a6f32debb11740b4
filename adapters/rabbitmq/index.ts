/** `troupe/rabbitmq`: the broker port on RabbitMQ, through the package `amqplib`. */

export { rabbitmq } from './broker.ts';
export type { RabbitmqOptions, RabbitmqTlsOptions } from './settings.ts';
