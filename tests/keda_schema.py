"""The part of KEDA's own kinds that `k8s/` uses, as JSON schemas: fields, types, what is required.

Written from KEDA's reference of ScaledObject, TriggerAuthentication and the PostgreSQL scaler,
version 2.21. Stricter than KEDA: a field that is not here is refused, so that a typing error is.
"""

from __future__ import annotations

from typing import Any


def _object(required: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    return {
        "type": "object", "required": list(required), "properties": fields,
        "additionalProperties": False,
    }  # fmt: skip


_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}
_META = _object(("name",), name=_TEXT, namespace=_TEXT, labels={"type": "object"})

_POLICY = _object(
    ("type", "value", "periodSeconds"),
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
_RULES = _object(
    ("policies",),
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
    policies={"type": "array", "minItems": 1, "items": _POLICY},
)
_TRIGGER = _object(
    ("type", "metadata"),
    type={"const": "postgresql"},
    name=_TEXT,
    metricType={"enum": ["AverageValue", "Value"]},
    authenticationRef=_object(("name",), name=_TEXT),
    metadata=_object(
        ("query", "targetQueryValue"),
        query=_TEXT,
        targetQueryValue=_NUMBER,  # KEDA takes texts alone here
        activationTargetQueryValue=_NUMBER,
    ),
)
_BEHAVIORS = ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]

SCHEMAS = {
    "ScaledObject": _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "keda.sh/v1alpha1"},
        kind={"const": "ScaledObject"},
        metadata=_META,
        spec=_object(
            ("scaleTargetRef", "triggers"),
            scaleTargetRef=_object(("name",), apiVersion=_TEXT, kind=_TEXT, name=_TEXT),
            pollingInterval={"type": "integer", "minimum": 1},
            cooldownPeriod=_COUNT,
            initialCooldownPeriod=_COUNT,
            idleReplicaCount={"const": 0},
            minReplicaCount=_COUNT,
            maxReplicaCount={"type": "integer", "minimum": 1},
            fallback=_object(
                ("failureThreshold", "replicas"),
                failureThreshold={"type": "integer", "minimum": 1},
                replicas=_COUNT,
                behavior={"enum": _BEHAVIORS},
            ),
            advanced=_object(
                (),
                restoreToOriginalReplicaCount={"type": "boolean"},
                horizontalPodAutoscalerConfig=_object(
                    (), name=_TEXT, behavior=_object((), scaleUp=_RULES, scaleDown=_RULES)
                ),
            ),
            triggers={"type": "array", "minItems": 1, "items": _TRIGGER},
        ),
    ),
    "TriggerAuthentication": _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "keda.sh/v1alpha1"},
        kind={"const": "TriggerAuthentication"},
        metadata=_META,
        spec=_object(
            ("secretTargetRef",),
            secretTargetRef={
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ("parameter", "name", "key"),
                    # Of these a PostgreSQL trigger makes its connection.
                    parameter={
                        "enum": ["host", "port", "dbName", "userName", "password", "sslmode"]
                    },
                    name=_TEXT,
                    key=_TEXT,
                ),
            },
        ),
    ),
}
