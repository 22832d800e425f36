"""Enrols a palm, identifies it, and erases it, through the public API alone.

Makes a random palm, so that it can run against any tenant whose certificate of an operator it is given. Leaves
nothing behind: what it enrols it erases. Exits with 0 only when every step held.
"""

import argparse
import datetime
import json
import math
import pathlib
import random
import ssl
import struct
import sys
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2

import stubs

api = stubs.load()
DEADLINE_S = 10.0


# --- palms ---------------------------------------------------------------------------------------------------


def unit(values):
    norm = math.sqrt(sum(value * value for value in values))
    return [value / norm for value in values]


def random_palm(dimension):
    """A unit vector in a random direction: at 256 dimensions two of them have a cosine of 0 ± 0.06."""
    return unit([random.gauss(0.0, 1.0) for _ in range(dimension)])


def capture_again(palm, noise=0.3):
    """The same palm with capture noise of `noise` times its norm: a cosine of about 0.96."""
    spread = noise / math.sqrt(len(palm))
    return unit([value + random.gauss(0.0, spread) for value in palm])


def signature(palm, encoder):
    """The message for `palm`: little-endian binary32, a left hand, good quality, a live palm."""
    message = api.types.Signature(
        data=struct.pack(f"<{len(palm)}f", *palm),
        element_type=api.types.ELEMENT_TYPE_F32,
        encoder=encoder,
        hand=api.types.HAND_LEFT,
        quality=90,
        pad_verdict=api.types.PAD_VERDICT_BONA_FIDE,
    )
    message.capture_time.GetCurrentTime()
    return message


def consent():
    now = datetime.datetime.now(datetime.timezone.utc)
    message = api.types.Consent(
        policy_version="2026-01",
        purpose="demonstration",
        method=api.types.CONSENT_METHOD_IN_APP,
    )
    message.give_time.FromDatetime(now - datetime.timedelta(minutes=1))
    message.expire_time.FromDatetime(now + datetime.timedelta(days=1))
    return message


# --- errors --------------------------------------------------------------------------------------------------


def details(error):
    """The google.rpc details of a failed call, by the name of their type."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            found = {}
            for packed in status_pb2.Status.FromString(value).details:
                for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
                    if packed.Is(kind.DESCRIPTOR):
                        found[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
            return found
    return {}


def expect_error(code, reason, call, request):
    """Makes a call that must be refused with `code` and, in its ErrorInfo, `reason`."""
    try:
        answer = call(request, timeout=DEADLINE_S)
    except grpc.RpcError as error:
        found = details(error)
        info = found.get("ErrorInfo")
        assert error.code() == code, f"{error.code()}: {error.details()}"
        assert info is not None, f"no ErrorInfo with {error.details()!r}"
        assert (info.domain, info.reason) == ("thenar", reason), f"{info.domain} {info.reason}"
        print(f"  refused, as it should be: {info.reason}: {error.details()}")
        return found
    raise AssertionError(f"should have been refused with {reason}; the answer was {answer}")


# --- the steps -----------------------------------------------------------------------------------------------


class Demo:
    """One palm's way through a tenant."""

    def __init__(self, channel, tenant):
        self.identity = api.identity_grpc.IdentityStub(channel)
        self.enrollment = api.enrollment_grpc.EnrollmentStub(channel)
        settings = api.admin_grpc.AdminStub(channel).GetTenant(
            api.admin.GetTenantRequest(tenant=tenant), timeout=DEADLINE_S
        )
        assert settings.state == api.admin.TENANT_STATE_READY, settings.reason
        self.tenant = tenant
        self.encoder = settings.encoder
        self.dimension = settings.dimension
        self.palm = random_palm(self.dimension)
        self.subject_id = f"demo-{uuid.uuid4()}"
        print(f"tenant {tenant}: {self.dimension} dimensions, threshold {settings.threshold:.3f}")

    def probe(self, palm):
        return api.identity.IdentifyRequest(
            tenant=self.tenant, request_id=str(uuid.uuid4()), probe=signature(palm, self.encoder)
        )

    def identify(self, palm):
        request = self.probe(palm)
        answer = self.identity.Identify(request, timeout=DEADLINE_S)
        assert answer.request_id == request.request_id
        assert answer.certificate.WhichOneof("proof"), "an answer that was searched for has a certificate"
        return answer

    def verify_request(self, subject_id):
        return api.identity.VerifyRequest(
            tenant=self.tenant,
            request_id=str(uuid.uuid4()),
            subject_id=subject_id,
            probe=signature(capture_again(self.palm), self.encoder),
        )

    def enroll(self):
        request = api.enrollment.EnrollRequest(
            tenant=self.tenant,
            request_id=str(uuid.uuid4()),
            subject_id=self.subject_id,
            signatures=[signature(self.palm, self.encoder)],
            consent=consent(),
            links=[api.types.Link(kind=api.types.LINK_KIND_LOYALTY_ID, value=self.subject_id)],
        )
        first = self.enrollment.Enroll(request, timeout=DEADLINE_S)
        assert first.subject_id == self.subject_id, first
        assert len(first.references) == 1, first
        again = self.enrollment.Enroll(request, timeout=DEADLINE_S)
        assert again == first, "a repeated request is done once and answered the same"

    def found(self):
        answer = self.identify(capture_again(self.palm))
        assert answer.decision == api.identity.DECISION_MATCH, answer
        assert answer.subject_id == self.subject_id, answer
        assert answer.match_level != api.identity.MATCH_LEVEL_UNSPECIFIED, answer
        verified = self.identity.Verify(self.verify_request(self.subject_id), timeout=DEADLINE_S)
        assert verified.decision == api.identity.DECISION_MATCH, verified

    def strangers(self):
        answer = self.identify(random_palm(self.dimension))
        assert answer.decision == api.identity.DECISION_NO_MATCH, answer
        assert not answer.subject_id, answer

    def streamed(self):
        """Many probes in flight on one stream; answers come as they are ready."""
        mates = {probe.request_id: probe for probe in (self.probe(capture_again(self.palm)) for _ in range(8))}
        others = {probe.request_id: probe for probe in (self.probe(random_palm(self.dimension)) for _ in range(8))}
        refused = self.probe([1.0])
        sent = [*mates.values(), *others.values(), refused]
        answered = set()
        for answer in self.identity.IdentifyStream(iter(sent), timeout=DEADLINE_S):
            answered.add(answer.request_id)
            if answer.request_id == refused.request_id:
                assert answer.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0], answer
                continue
            expected = api.identity.DECISION_MATCH if answer.request_id in mates else api.identity.DECISION_NO_MATCH
            assert answer.response.decision == expected, answer
        assert answered == {probe.request_id for probe in sent}, "every probe is answered"

    def refused(self):
        too_short = expect_error(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", self.identity.Identify, self.probe([1.0])
        )
        assert too_short["BadRequest"].field_violations[0].field, "a refused input names its field"
        expect_error(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            self.enrollment.Enroll,
            api.enrollment.EnrollRequest(
                tenant=self.tenant,
                request_id=str(uuid.uuid4()),
                signatures=[signature(self.palm, self.encoder)],
            ),
        )
        expect_error(
            grpc.StatusCode.NOT_FOUND,
            "SUBJECT_UNKNOWN",
            self.identity.Verify,
            self.verify_request(f"nobody-{uuid.uuid4()}"),
        )
        other = self.probe(self.palm)
        other.tenant = f"not-{self.tenant}"[:63].rstrip("-")
        expect_error(grpc.StatusCode.PERMISSION_DENIED, "TENANT_DENIED", self.identity.Identify, other)

    def history(self):
        page = self.enrollment.ListUsage(
            api.enrollment.ListUsageRequest(tenant=self.tenant, subject_id=self.subject_id, page_size=1),
            timeout=DEADLINE_S,
        )
        assert len(page.events) == 1 and page.events[0].subject_id == self.subject_id, page
        assert page.next_page_token, "the enrolment and the matches make more than one page"

    def erase(self):
        """Erases by the link, as a person without an account would ask for it."""
        request = api.enrollment.EraseRequest(
            tenant=self.tenant,
            request_id=str(uuid.uuid4()),
            link=api.types.Link(kind=api.types.LINK_KIND_LOYALTY_ID, value=self.subject_id),
        )
        erased = self.enrollment.Erase(request, timeout=DEADLINE_S)
        receipt = json.loads(erased.receipt_json)
        assert receipt["subject_id"] == self.subject_id, receipt
        assert receipt["tenant"] == self.tenant, receipt
        assert len(erased.signature) == 64 and len(erased.public_key) == 32, "an Ed25519 signature and its key"
        later = self.enrollment.GetErasure(
            api.enrollment.GetErasureRequest(tenant=self.tenant, erasure=erased.erasure), timeout=DEADLINE_S
        )
        assert later.state in (api.enrollment.ERASURE_STATE_ERASED, api.enrollment.ERASURE_STATE_PURGED), later

    def forgotten(self):
        answer = self.identify(self.palm)
        assert answer.decision == api.identity.DECISION_NO_MATCH, answer
        expect_error(
            grpc.StatusCode.NOT_FOUND,
            "SUBJECT_UNKNOWN",
            self.enrollment.GetSubject,
            api.enrollment.GetSubjectRequest(tenant=self.tenant, subject_id=self.subject_id),
        )


def tenant_of(certificate):
    """The tenant in the certificate's SPIFFE id, spiffe://<trust domain>/tenant/<tenant>/<role>/<name>."""
    footer = "-----END CERTIFICATE-----"
    first = certificate.decode().partition(footer)[0] + footer
    # A URI in a certificate is plain ASCII, so it can be read without a parser.
    path = ssl.PEM_cert_to_DER_cert(first.strip()).partition(b"spiffe://")[2].split(b"/", 4)
    if len(path) < 5 or path[1] != b"tenant":
        raise SystemExit("the certificate is not one of a tenant's; name the tenant with --tenant")
    return path[2].decode()


def arguments():
    parser = argparse.ArgumentParser(description="Enrols a palm, identifies it, and erases it.")
    parser.add_argument("--server", required=True, help="host:port, as in the server's certificate")
    parser.add_argument("--ca", required=True, type=pathlib.Path, help="certificate of the server's authority, PEM")
    parser.add_argument("--cert", required=True, type=pathlib.Path, help="certificate of an operator, PEM")
    parser.add_argument("--key", required=True, type=pathlib.Path, help="its private key, PEM")
    parser.add_argument("--tenant", help="the tenant; as a rule the certificate tells")
    return parser.parse_args()


def main():
    given = arguments()
    certificate = given.cert.read_bytes()
    tenant = given.tenant or tenant_of(certificate)
    credentials = grpc.ssl_channel_credentials(given.ca.read_bytes(), given.key.read_bytes(), certificate)
    with grpc.secure_channel(given.server.removeprefix("https://"), credentials) as channel:
        demo = Demo(channel, tenant)
        for name, step in (
            ("enrol", demo.enroll),
            ("identify and verify", demo.found),
            ("strangers are not matched", demo.strangers),
            ("a stream of probes", demo.streamed),
            ("bad input is refused", demo.refused),
            ("history", demo.history),
            ("erase", demo.erase),
            ("the palm is forgotten", demo.forgotten),
        ):
            print(name)
            step()
    print("every step held")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as fault:
        sys.exit(f"FAILED: {fault}")
    except grpc.RpcError as fault:
        sys.exit(f"FAILED: {fault.code()}: {fault.details()} {details(fault)}")
