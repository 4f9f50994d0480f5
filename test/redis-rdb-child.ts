/** Uploads in a process of its own, as a small worker would, and prints how much memory that took. */
import { parseArgs } from 'node:util';
import type { UploadRdbArgs } from '../activities/redis/rdb/args.ts';
import { uploadRdb } from '../activities/redis/rdb/upload.ts';
import type { UploadedRdb } from '../spec/redis-rdb.ts';
import { attempt } from './redis-rdb-stage.ts';

const { positionals } = parseArgs({ allowPositionals: true });
const args = JSON.parse(positionals[0] ?? '') as UploadRdbArgs;
const before = process.memoryUsage.rss();
const uploaded = await attempt().run<[UploadRdbArgs], UploadedRdb, typeof uploadRdb>(uploadRdb, args);
const peak = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ before, peak, uploaded }));
process.exit(0);
