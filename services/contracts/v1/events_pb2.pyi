import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_BULK: _ClassVar[Priority]
    PRIORITY_REPLY: _ClassVar[Priority]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_SENT: _ClassVar[Status]
    STATUS_DELIVERED: _ClassVar[Status]
    STATUS_READ: _ClassVar[Status]
    STATUS_FAILED: _ClassVar[Status]
PRIORITY_BULK: Priority
PRIORITY_REPLY: Priority
STATUS_UNSPECIFIED: Status
STATUS_SENT: Status
STATUS_DELIVERED: Status
STATUS_READ: Status
STATUS_FAILED: Status

class Envelope(_message.Message):
    __slots__ = ("event_id", "company", "version", "occurred_at", "traceparent", "messages_requested", "campaign_run_stopped", "message_statuses_updated")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    COMPANY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_RUN_STOPPED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_STATUSES_UPDATED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    company: str
    version: int
    occurred_at: _timestamp_pb2.Timestamp
    traceparent: str
    messages_requested: MessagesRequested
    campaign_run_stopped: CampaignRunStopped
    message_statuses_updated: MessageStatusesUpdated
    def __init__(self, event_id: _Optional[str] = ..., company: _Optional[str] = ..., version: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., messages_requested: _Optional[_Union[MessagesRequested, _Mapping]] = ..., campaign_run_stopped: _Optional[_Union[CampaignRunStopped, _Mapping]] = ..., message_statuses_updated: _Optional[_Union[MessageStatusesUpdated, _Mapping]] = ...) -> None: ...

class MessagesRequested(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[MessageRequested]
    def __init__(self, requests: _Optional[_Iterable[_Union[MessageRequested, _Mapping]]] = ...) -> None: ...

class MessageStatusesUpdated(_message.Message):
    __slots__ = ("updates",)
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[MessageStatusUpdate]
    def __init__(self, updates: _Optional[_Iterable[_Union[MessageStatusUpdate, _Mapping]]] = ...) -> None: ...

class MessageStatusUpdate(_message.Message):
    __slots__ = ("accepted", "failed", "uncertain", "status_changed", "returned", "expired")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_FIELD_NUMBER: _ClassVar[int]
    STATUS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    accepted: MessageAccepted
    failed: MessageFailed
    uncertain: MessageUncertain
    status_changed: MessageStatusChanged
    returned: MessageReturned
    expired: MessageExpired
    def __init__(self, accepted: _Optional[_Union[MessageAccepted, _Mapping]] = ..., failed: _Optional[_Union[MessageFailed, _Mapping]] = ..., uncertain: _Optional[_Union[MessageUncertain, _Mapping]] = ..., status_changed: _Optional[_Union[MessageStatusChanged, _Mapping]] = ..., returned: _Optional[_Union[MessageReturned, _Mapping]] = ..., expired: _Optional[_Union[MessageExpired, _Mapping]] = ...) -> None: ...

class MessageRequested(_message.Message):
    __slots__ = ("message_id", "campaign_id", "contact_id", "connection", "to", "text", "run", "priority", "send_before", "expires_at")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTACT_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SEND_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    contact_id: str
    connection: str
    to: str
    text: str
    run: int
    priority: Priority
    send_before: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., contact_id: _Optional[str] = ..., connection: _Optional[str] = ..., to: _Optional[str] = ..., text: _Optional[str] = ..., run: _Optional[int] = ..., priority: _Optional[_Union[Priority, str]] = ..., send_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CampaignRunStopped(_message.Message):
    __slots__ = ("campaign_id", "connection", "run")
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    campaign_id: str
    connection: str
    run: int
    def __init__(self, campaign_id: _Optional[str] = ..., connection: _Optional[str] = ..., run: _Optional[int] = ...) -> None: ...

class MessageAccepted(_message.Message):
    __slots__ = ("message_id", "campaign_id", "provider_id")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    provider_id: str
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., provider_id: _Optional[str] = ...) -> None: ...

class MessageFailed(_message.Message):
    __slots__ = ("message_id", "campaign_id", "code", "reason")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    code: int
    reason: str
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class MessageUncertain(_message.Message):
    __slots__ = ("message_id", "campaign_id", "reason")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    reason: str
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MessageStatusChanged(_message.Message):
    __slots__ = ("message_id", "campaign_id", "status", "code")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    status: Status
    code: int
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., code: _Optional[int] = ...) -> None: ...

class MessageReturned(_message.Message):
    __slots__ = ("message_id", "campaign_id", "run")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    run: int
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., run: _Optional[int] = ...) -> None: ...

class MessageExpired(_message.Message):
    __slots__ = ("message_id", "campaign_id")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    campaign_id: str
    def __init__(self, message_id: _Optional[str] = ..., campaign_id: _Optional[str] = ...) -> None: ...
