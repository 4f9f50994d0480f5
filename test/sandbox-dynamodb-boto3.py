"""Drives the sandbox's DynamoDB exports with an unmodified boto3, as article 001 does, and goes on to where it stops."""

import base64
import gzip
import hashlib
import json
import sys
import time
from datetime import datetime, timedelta, timezone

import boto3

dynamodb = boto3.client("dynamodb")
s3 = boto3.client("s3", config=boto3.session.Config(s3={"addressing_style": "path"}))


def until(what, probe):
    deadline = time.time() + 60
    while True:
        found = probe()
        if found:
            return found
        if time.time() > deadline:
            sys.exit(f"not within a minute: {what}")
        time.sleep(0.05)


def read(key):
    return s3.get_object(Bucket="boto-bucket", Key=key)["Body"].read()


s3.create_bucket(Bucket="boto-bucket")
arn = dynamodb.create_table(
    TableName="boto",
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    BillingMode="PAY_PER_REQUEST",
)["TableDescription"]["TableArn"]
table = boto3.resource("dynamodb").Table("boto")

try:
    dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket="boto-bucket")
except dynamodb.exceptions.PointInTimeRecoveryUnavailableException as error:
    print("refused:", error.response["Error"]["Code"])
dynamodb.update_continuous_backups(
    TableName="boto",
    PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 1},
)
with table.batch_writer() as batch:
    for i in range(40):
        batch.put_item(Item={"id": f"item {i}", "n": i, "tags": {"a", "b"}})
table.update_item(Key={"id": "item 1"}, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": 100})
table.delete_item(Key={"id": "item 2"})
try:
    table.put_item(Item={"id": "item 1"}, ConditionExpression="attribute_not_exists(id)")
except dynamodb.exceptions.ConditionalCheckFailedException:
    print("condition failed")

recovery = dynamodb.describe_continuous_backups(TableName="boto")["ContinuousBackupsDescription"]
recovery = recovery["PointInTimeRecoveryDescription"]
assert recovery["RecoveryPeriodInDays"] == 1, recovery
assert recovery["EarliestRestorableDateTime"] <= recovery["LatestRestorableDateTime"], recovery
# boto3 knows whole seconds: wait until the last write's second is over.
latest = datetime.now(timezone.utc)
until(
    "a restorable second",
    lambda: dynamodb.describe_continuous_backups(TableName="boto")["ContinuousBackupsDescription"][
        "PointInTimeRecoveryDescription"
    ]["LatestRestorableDateTime"]
    > latest + timedelta(seconds=1),
)
try:
    dynamodb.export_table_to_point_in_time(
        TableArn=arn, S3Bucket="boto-bucket", ExportTime=latest + timedelta(hours=1)
    )
except dynamodb.exceptions.InvalidExportTimeException as error:
    print("refused:", error.response["Error"]["Code"])

started = dynamodb.export_table_to_point_in_time(
    TableArn=arn,
    S3Bucket="boto-bucket",
    S3Prefix="2026/11/21/boto",
    ExportTime=latest + timedelta(seconds=1),
    ExportFormat="DYNAMODB_JSON",
)["ExportDescription"]
assert started["ExportStatus"] == "IN_PROGRESS", started


def done():
    found = dynamodb.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]
    if found["ExportStatus"] == "FAILED":
        sys.exit(f"failed: {found}")
    return found["ExportStatus"] == "COMPLETED" and found


found = until("export completed", done)
assert [one["ExportArn"] for one in dynamodb.list_exports(TableArn=arn)["ExportSummaries"]] == [started["ExportArn"]]
summary = json.loads(read(found["ExportManifest"]))
assert summary["itemCount"] == found["ItemCount"] == 39, summary
items = {}
for line in read(summary["manifestFilesS3Key"]).decode().splitlines():
    entry = json.loads(line)
    data = read(entry["dataFileS3Key"])
    assert base64.b64encode(hashlib.md5(data).digest()).decode() == entry["md5Checksum"], entry
    lines = gzip.decompress(data).decode().splitlines()
    assert len(lines) == entry["itemCount"], entry
    for one in lines:
        item = json.loads(one)["Item"]
        items[item["id"]["S"]] = item
assert items["item 1"]["n"] == {"N": "100"}, items["item 1"]
assert sorted(items["item 3"]["tags"]["SS"]) == ["a", "b"], items["item 3"]
print("exported", len(items))

dynamodb.restore_table_to_point_in_time(
    SourceTableName="boto", TargetTableName="boto-restored", UseLatestRestorableTime=True
)
until(
    "restored",
    lambda: dynamodb.describe_table(TableName="boto-restored")["Table"]["TableStatus"] == "ACTIVE",
)
restored = boto3.resource("dynamodb").Table("boto-restored").scan()["Items"]
assert sorted(restored, key=str) == sorted(table.scan()["Items"], key=str)
print("restored", len(restored))

arn = dynamodb.import_table(
    S3BucketSource={"S3Bucket": "boto-bucket", "S3KeyPrefix": found["ExportManifest"].rsplit("/", 1)[0] + "/data/"},
    InputFormat="DYNAMODB_JSON",
    InputCompressionType="GZIP",
    TableCreationParameters={
        "TableName": "boto-imported",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    },
)["ImportTableDescription"]["ImportArn"]


def imported():
    one = dynamodb.describe_import(ImportArn=arn)["ImportTableDescription"]
    if one["ImportStatus"] == "FAILED":
        sys.exit(f"failed: {one}")
    return one["ImportStatus"] == "COMPLETED" and one


print("imported", until("imported", imported)["ImportedItemCount"])
print("done")
