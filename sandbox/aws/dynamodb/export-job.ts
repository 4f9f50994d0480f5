import { billedBytes, dataFiles, folderOf, linesOf, md5, summaryOf } from './export-files.ts';
import { putObject, s3Failure, uploadObject } from './s3-objects.ts';
import type { Encryption } from './s3-objects.ts';
import type { DynamoDb } from './service.ts';
import type { ExportState } from './state.ts';

/** The export's slow work, after it was accepted; the same again after a restart: it writes the same keys. */
export function runExport(db: DynamoDb, task: ExportState): void {
  const { background } = db.cloud;
  background.run(`export ${task.arn}`, task.arn, async () => {
    let failure = task.script.fail;
    try {
      await begin(db, task);
      await background.sleep(task.script.lasts ?? db.cloud.timing.dynamodbExporting);
      if (failure === undefined) await write(db, task);
    } catch (error) {
      // A sandbox that stops leaves its exports IN_PROGRESS, and takes them up again.
      if (background.stopped) throw error;
      failure = s3Failure(error);
      await background.sleep(task.script.lasts ?? db.cloud.timing.dynamodbExporting);
    }
    if (failure !== undefined) {
      task.status = 'FAILED';
      task.failureCode = failure.code;
      task.failureMessage = failure.message;
    }
    task.endTime ??= db.iso();
    db.save();
  });
}

function encryptionOf(task: ExportState): Encryption {
  if (task.sseAlgorithm === 'AES256') return { ServerSideEncryption: 'AES256' };
  return { ServerSideEncryption: 'aws:kms', ...(task.kmsKeyId === undefined ? {} : { SSEKMSKeyId: task.kmsKeyId }) };
}

/** AWS tries the bucket with an empty object before it reads anything. */
async function begin(db: DynamoDb, task: ExportState): Promise<void> {
  const s3 = await (await db.moto()).s3();
  await putObject(s3, task.bucket, `${folderOf(task.prefix)}/${task.id}/_started`, '', encryptionOf(task));
}

async function write(db: DynamoDb, task: ExportState): Promise<void> {
  const s3 = await (await db.moto()).s3();
  const encryption = encryptionOf(task);
  const lines = linesOf(task, db.history(task.journal, task.keys));
  const entries: string[] = [];
  for (const [i, file] of dataFiles(task, lines, db.script.limits).entries()) {
    const etag = await uploadObject(s3, task.bucket, file.key, file.bytes, encryption);
    const itemCount = file.itemCount + (i === 0 ? (task.script.fileCountOff ?? 0) : 0);
    entries.push(JSON.stringify({ itemCount, md5Checksum: md5(file.bytes), etag, dataFileS3Key: file.key }));
  }
  const folder = `${folderOf(task.prefix)}/${task.id}`;
  const billed = billedBytes(lines);
  const endTime = db.iso();
  // The summary last: who finds it finds all that it names.
  const manifests = {
    'manifest-files': entries.map((entry) => `${entry}\n`).join(''),
    'manifest-summary': summaryOf(task, lines.length + (task.script.summaryCountOff ?? 0), billed, endTime),
  };
  for (const [name, text] of Object.entries(manifests)) {
    await putObject(s3, task.bucket, `${folder}/${name}.md5`, md5(text), encryption);
    await putObject(s3, task.bucket, `${folder}/${name}.json`, text, encryption);
  }
  task.status = 'COMPLETED';
  task.endTime = endTime;
  task.manifest = `${folder}/manifest-summary.json`;
  task.itemCount = lines.length;
  task.billedBytes = billed;
}
