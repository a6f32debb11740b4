/** `troupe/kafka`: a broker over Kafka, by the driver kafkajs. */

export { kafka } from './broker.ts';
export type { KafkaOptions, KafkaSasl, KafkaTls } from './options.ts';
