"""Whether a cluster answers and takes our token, in seconds: Ray tries for more than a minute."""

from __future__ import annotations

import socket

import grpc  # type: ignore[import-untyped]
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated.gcs_service_pb2 import GetClusterIdRequest
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError

from raybilevel.errors import InputError

_ANSWER = 5.0  # seconds that a cluster has to answer


def check_cluster(address: str) -> None:
    """Return where a cluster answers, or where only `ray.init` can tell.

    Raises
    ------
    OSError
        If nobody listens there.
    InputError
        If the cluster refuses our token.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    if not address.startswith("ray://"):
        _check_token(address)


def _check_token(address: str) -> None:
    try:
        with init_grpc_channel(address) as channel:
            NodeInfoGcsServiceStub(channel).GetClusterId(GetClusterIdRequest(), timeout=_ANSWER)
    except AuthenticationError as error:
        raise _token_error(address, "wants a token, and this process has none") from error
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise _token_error(address, "refuses this process's token, or the lack of one") from (
                error
            )


def _token_error(address: str, trouble: str) -> InputError:
    return InputError(
        f"the Ray cluster at '{address}' {trouble}; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to "
        "the cluster's (or put that into ~/.ray/auth_token)"
    )
