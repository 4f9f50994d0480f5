"""Drives the sandbox's ElastiCache with an unmodified boto3: create, start, complete. Argument: the source's port."""

import sys
import time

import boto3

ec = boto3.client("elasticache")


def group():
    return ec.describe_replication_groups(ReplicationGroupId="boto")["ReplicationGroups"][0]


def wait(status):
    deadline = time.time() + 60
    while group()["Status"] != status:
        if time.time() > deadline:
            sys.exit(f"still {group()['Status']}, not {status}")
        time.sleep(0.05)


source = [{"Address": "127.0.0.1", "Port": int(sys.argv[1])}]
ec.create_replication_group(
    ReplicationGroupId="boto",
    ReplicationGroupDescription="made by boto3",
    CacheNodeType="cache.t4g.micro",
    NumCacheClusters=2,
    AutomaticFailoverEnabled=True,
    MultiAZEnabled=True,
    Tags=[{"Key": "made-by", "Value": "boto3"}],
)
wait("available")
ec.start_migration(ReplicationGroupId="boto", CustomerNodeEndpointList=source)
wait("migrating")
try:
    ec.start_migration(ReplicationGroupId="boto", CustomerNodeEndpointList=source)
except ec.exceptions.ReplicationGroupAlreadyUnderMigrationFault as error:
    print("AlreadyUnderMigration:", error.response["Error"]["Code"])
for attempt in range(50):
    if group()["Status"] == "migrating":
        try:
            ec.complete_migration(ReplicationGroupId="boto")
        except ec.exceptions.InvalidReplicationGroupStateFault:
            pass
    time.sleep(0.2)
    if group()["Status"] == "available":
        break
wait("available")
events = ec.describe_events(SourceType="replication-group", SourceIdentifier="boto")["Events"]
assert any(e["Message"] == "Complete Migration successful for boto" for e in events), events
assert ec.list_tags_for_resource(ResourceName=group()["ARN"])["TagList"] == [{"Key": "made-by", "Value": "boto3"}]
print("done", group()["Status"])
