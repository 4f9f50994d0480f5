"""Drives the sandbox's DMS with an unmodified boto3: a whole migration. Arguments: the source's and the target's port."""

import json
import sys
import time

import boto3

dms = boto3.client("dms")


def until(what, probe):
    deadline = time.time() + 60
    while True:
        found = probe()
        if found:
            return found
        if time.time() > deadline:
            sys.exit(f"not within a minute: {what}")
        time.sleep(0.05)


def endpoint(kind, port):
    made = dms.create_endpoint(
        EndpointIdentifier=f"boto-{kind}",
        EndpointType=kind,
        EngineName="postgres",
        ServerName="127.0.0.1",
        Port=port,
        Username="postgres",
        Password="postgres",
        DatabaseName="postgres",
        SslMode="none",
        ExtraConnectionAttributes="pluginName=test_decoding" if kind == "source" else "",
    )["Endpoint"]
    assert "Password" not in made and "postgres" not in made.get("PostgreSQLSettings", {}).get("Password", ""), made
    return made["EndpointArn"]


def task():
    arn_filter = [{"Name": "replication-task-id", "Values": ["boto-task"]}]
    return dms.describe_replication_tasks(Filters=arn_filter)["ReplicationTasks"][0]


def wait_task(status):
    def probe():
        found = task()
        if found["Status"] == "failed" and status != "failed":
            sys.exit(f"failed: {found.get('LastFailureMessage')}")
        return found["Status"] == status and found

    return until(f"task {status}", probe)


def table():
    found = dms.describe_table_statistics(ReplicationTaskArn=arn)["TableStatistics"]
    return next((one for one in found if one["TableName"] == "item"), None)


instance = dms.create_replication_instance(
    ReplicationInstanceIdentifier="boto-instance",
    ReplicationInstanceClass="dms.t3.medium",
    AllocatedStorage=50,
    Tags=[{"Key": "made-by", "Value": "boto3"}],
)["ReplicationInstance"]["ReplicationInstanceArn"]
until(
    "instance available",
    lambda: dms.describe_replication_instances()["ReplicationInstances"][0]["ReplicationInstanceStatus"]
    == "available",
)
source, target = endpoint("source", int(sys.argv[1])), endpoint("target", int(sys.argv[2]))
for one in (source, target):
    dms.test_connection(ReplicationInstanceArn=instance, EndpointArn=one)

    def tested():
        found = dms.describe_connections(Filters=[{"Name": "endpoint-arn", "Values": [one]}])["Connections"][0]
        if found["Status"] == "failed":
            sys.exit(found["LastFailureMessage"])
        return found["Status"] == "successful"

    until("connection tested", tested)

rule = {
    "rule-type": "selection",
    "rule-id": "1",
    "rule-name": "1",
    "object-locator": {"schema-name": "public", "table-name": "%"},
    "rule-action": "include",
}
arn = dms.create_replication_task(
    ReplicationTaskIdentifier="boto-task",
    SourceEndpointArn=source,
    TargetEndpointArn=target,
    ReplicationInstanceArn=instance,
    MigrationType="full-load-and-cdc",
    TableMappings=json.dumps({"rules": [rule]}),
    ReplicationTaskSettings=json.dumps({"FullLoadSettings": {"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD"}}),
)["ReplicationTask"]["ReplicationTaskArn"]
wait_task("ready")
dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="start-replication")
wait_task("running")
until("item loaded", lambda: (table() or {}).get("TableState") == "Table completed")
print("loaded", table()["FullLoadRows"])

# The test writes a row to the source when it reads this line.
print("write now", flush=True)
until("the row applied", lambda: table()["AppliedInserts"] >= 1)
try:
    dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType="resume-processing")
except dms.exceptions.InvalidResourceStateFault as error:
    print("refused:", error.response["Error"]["Message"])
dms.stop_replication_task(ReplicationTaskArn=arn)
print("stopped:", wait_task("stopped")["StopReason"])
dms.delete_replication_task(ReplicationTaskArn=arn)


def gone():
    try:
        task()
    except dms.exceptions.ResourceNotFoundFault:
        return True


until("task gone", gone)
assert dms.list_tags_for_resource(ResourceArn=instance)["TagList"] == [{"Key": "made-by", "Value": "boto3"}]
for one in (source, target):
    dms.delete_endpoint(EndpointArn=one)
until("endpoints gone", lambda: dms.describe_endpoints()["Endpoints"] == [])
dms.delete_replication_instance(ReplicationInstanceArn=instance)
until("instance gone", lambda: dms.describe_replication_instances()["ReplicationInstances"] == [])
print("done")
