"""Route 53 as moto plays it, and what botocore says of requests to it.

Starts a server on a free port of loopback with one hosted zone, says where in a line of JSON, and then
answers lines of JSON on standard input until that ends:

  {"sets": true}                the zone's record sets, as boto3 lists them
  {"create": [set, ...]}        makes record sets, through boto3
  {"check": request}            serialises and signs the same request with botocore; answers what is
                                different, which is to be nothing

A request is {"method", "url", "headers", "body"}; the access key is that of AWS's test suite.
"""

import datetime
import json
import logging
import sys
import xml.etree.ElementTree as ElementTree
from unittest import mock

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.loaders
import botocore.model
import botocore.serialize
import botocore.validate
from moto.server import ThreadedMotoServer

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

service = botocore.model.ServiceModel(
    botocore.loaders.Loader().load_service_model("route53", "service-2"), "route53"
)
serializer = botocore.serialize.create_serializer(service.metadata["protocol"])


def parameters(element, shape):
    """What an XML element says, by the model of its shape."""
    if shape.type_name == "structure":
        names = {
            member.serialization.get("name", name): (name, member) for name, member in shape.members.items()
        }
        found = {}
        for child in element:
            name, member = names[child.tag.split("}")[1]]
            found[name] = parameters(child, member)
        return found
    if shape.type_name == "list":
        return [parameters(child, shape.member) for child in element]
    text = element.text or ""
    return int(text) if shape.type_name in ("long", "integer") else text


def tree(element):
    return element.tag, (element.text or "").strip(), [tree(child) for child in element]


def check_body(request):
    operation = service.operation_model("ChangeResourceRecordSets")
    zone = request["url"].split("/hostedzone/")[1].split("/")[0]
    body = ElementTree.fromstring(request["body"])
    given = parameters(body, operation.input_shape)
    given["HostedZoneId"] = zone
    report = botocore.validate.ParamValidator().validate(given, operation.input_shape)
    if report.has_errors():
        return report.generate_report()
    expected = serializer.serialize_to_request(given, operation)
    if not request["url"].endswith(expected["url_path"]):
        return f"{request['url']} instead of {expected['url_path']}"
    if tree(ElementTree.fromstring(expected["body"])) != tree(body):
        return f"{request['body']} instead of {expected['body']}"
    return None


def check_signature(request):
    headers = request["headers"]
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    stamp = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    again = botocore.awsrequest.AWSRequest(
        method=request["method"],
        url=request["url"],
        data=request["body"].encode(),
        headers={name: headers[name] for name in signed if not name.startswith("x-amz-")},
    )
    credentials = botocore.credentials.Credentials(KEY, SECRET)
    with mock.patch("botocore.auth.get_current_datetime", return_value=stamp):
        botocore.auth.SigV4Auth(credentials, "route53", "us-east-1").add_auth(again)
    expected = again.headers["Authorization"]
    if headers["authorization"] != expected:
        return f"{headers['authorization']} instead of {expected}"
    return None


def check(request):
    body = check_body(request) if request["method"] == "POST" else None
    return body or check_signature(request)


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "route53",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    zone = client.create_hosted_zone(Name="example.com.", CallerReference="1")["HostedZone"]["Id"]
    print(json.dumps({"endpoint": endpoint, "zone": zone}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "check" in command:
            answer = check(command["check"])
        elif "create" in command:
            changes = [{"Action": "CREATE", "ResourceRecordSet": it} for it in command["create"]]
            client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
            answer = None
        else:
            pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
            answer = [it for page in pages for it in page["ResourceRecordSets"]]
        print(json.dumps(answer), flush=True)
    server.stop()


main()
