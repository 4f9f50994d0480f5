"""An image of a machine, a new machine from it, and a command in that, with unmodified boto3. Argument: the machine's id."""
import base64
import sys
import time

import boto3
from botocore.exceptions import ClientError

ec2 = boto3.client("ec2")
ssm = boto3.client("ssm")
machine = sys.argv[1]


def until(get, wanted):
    deadline = time.time() + 60
    while True:
        got = get()
        if got == wanted:
            return
        if time.time() > deadline:
            raise SystemExit(f"still {got}, not {wanted}")
        time.sleep(0.05)


image = ec2.create_image(
    InstanceId=machine,
    Name="boto-1",
    NoReboot=True,
    TagSpecifications=[
        {"ResourceType": "image", "Tags": [{"Key": "by", "Value": "boto"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "by", "Value": "boto"}]},
    ],
)["ImageId"]
until(lambda: ec2.describe_images(ImageIds=[image])["Images"][0]["State"], "available")
try:
    ec2.create_image(InstanceId=machine, Name="boto-1", NoReboot=True)
except ClientError as error:
    print("refused:", error.response["Error"]["Code"], error.response["Error"]["Message"])
snapshots = list(
    ec2.get_paginator("describe_snapshots")
    .paginate(OwnerIds=["self"], Filters=[{"Name": "tag:by", "Values": ["boto"]}])
    .search("Snapshots[].[State, Progress]")
)
print("snapshots:", snapshots)
new = ec2.run_instances(
    ImageId=image,
    MinCount=1,
    MaxCount=1,
    InstanceType="t3.large",
    UserData=base64.b64encode(b"not a script").decode(),
)["Instances"][0]["InstanceId"]
ec2.get_waiter("instance_running").wait(InstanceIds=[new], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
ec2.get_waiter("instance_status_ok").wait(InstanceIds=[new], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
command = ssm.send_command(
    InstanceIds=[new], DocumentName="AWS-RunShellScript", Parameters={"commands": ["cat /etc/motd"]}
)["Command"]["CommandId"]


def status():
    try:
        return ssm.get_command_invocation(CommandId=command, InstanceId=new)["Status"]
    except ssm.exceptions.InvocationDoesNotExist:
        return "none yet"


until(status, "Success")
print("said:", ssm.get_command_invocation(CommandId=command, InstanceId=new)["StandardOutputContent"].strip())
try:
    ec2.terminate_instances(InstanceIds=[new], DryRun=True)
except ClientError as error:
    print("dry:", error.response["Error"]["Code"])
ec2.terminate_instances(InstanceIds=[new])
ec2.get_waiter("instance_terminated").wait(InstanceIds=[new], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print("done")
