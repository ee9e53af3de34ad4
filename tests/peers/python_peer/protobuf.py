"""protobuf as far as tether's messages need it: the schema is read from the .proto files, a message is a dict.

    schema = Schema("container_vm.proto", "control.proto")
    data = schema.encode("Request", {"id": b"...", "ping": {}})
"""

import re
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    name: str
    number: int
    type: str
    repeated: bool


def put_varint(value):
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} does not fit in 64 bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def get_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")


class Schema:
    def __init__(self, *paths):
        self.messages = {}
        for path in paths:
            with open(path, encoding="utf-8") as file:
                text = re.sub(r"//.*", "", file.read())
            self._read(iter(re.findall(r'[\w.]+|"[^"]*"|[{}=;]', text)), {})

    def _read(self, tokens, fields):
        for token in tokens:
            if token == "}":
                return
            if token in ("syntax", "package", "import", "option", "reserved"):
                _skip(tokens, ";")
            elif token == "enum":
                _skip(tokens, "}")
            elif token == "message":
                inner = self.messages.setdefault(next(tokens), {})
                next(tokens)
                self._read(tokens, inner)
            elif token == "oneof":
                _skip(tokens, "{")
                self._read(tokens, fields)
            elif token == "map":  # on the wire: a repeated message of key and value
                key, kind, name, _, number, _ = (next(tokens) for _ in range(6))
                entry = f"map<{key}, {kind}>"
                self.messages[entry] = {"key": Field("key", 1, key, False),
                                        "value": Field("value", 2, kind, False)}
                fields[name] = Field(name, int(number), entry, True)
            elif token != ";":
                repeated = token == "repeated"
                kind = next(tokens) if repeated else token
                name, _, number, _ = (next(tokens) for _ in range(4))
                fields[name] = Field(name, int(number), kind, repeated)

    def encode(self, message, values):
        fields, out = self.messages[message], b""
        for name, value in values.items():
            field = fields[name]
            for one in value if field.repeated else [value]:
                out += self._encode_field(field, one)
        return out

    def _encode_field(self, field, value):
        if field.type in self.messages:
            data = self.encode(field.type, value)
        elif field.type == "string":
            data = value.encode()
        elif field.type == "bytes":
            data = value
        elif field.type == "fixed32":
            return put_varint(field.number << 3 | FIXED32) + value.to_bytes(4, "little")
        else:
            return put_varint(field.number << 3 | VARINT) + put_varint(int(value))
        return put_varint(field.number << 3 | LENGTH) + put_varint(len(data)) + data

    def decode(self, message, data):
        """Absent messages are absent, other absent fields have proto3's defaults, unknown ones are skipped."""
        fields = self.messages[message]
        by_number = {field.number: field for field in fields.values()}
        values = {field.name: self._default(field) for field in fields.values()
                  if field.repeated or field.type not in self.messages}
        at = 0
        while at < len(data):
            key, at = get_varint(data, at)
            raw, at = _get_value(data, at, key & 7)
            field = by_number.get(key >> 3)
            if field is None:
                continue
            value = self._decode_field(field, raw)
            if field.repeated:
                values[field.name].append(value)
            else:
                values[field.name] = value
        return values

    def _decode_field(self, field, raw):
        if isinstance(raw, int) == (field.type in self.messages or field.type in ("string", "bytes")):
            raise ValueError(f"field {field.name} has another type than the schema's")
        if field.type in self.messages:
            return self.decode(field.type, raw)
        if field.type == "string":
            return raw.decode(errors="backslashreplace")
        return bool(raw) if field.type == "bool" else raw

    @staticmethod
    def _default(field):
        return [] if field.repeated else {"string": "", "bytes": b"", "bool": False}.get(field.type, 0)


def _get_value(data, at, wire_type):
    if wire_type == VARINT:
        return get_varint(data, at)
    sizes = {FIXED64: 8, FIXED32: 4}
    if wire_type == LENGTH:
        size, at = get_varint(data, at)
    elif wire_type in sizes:
        size = sizes[wire_type]
    else:
        raise ValueError(f"wire type {wire_type} is unknown")
    if at + size > len(data):
        raise ValueError("a message is cut short")
    raw = data[at:at + size]
    return raw if wire_type == LENGTH else int.from_bytes(raw, "little"), at + size


def _skip(tokens, last):
    for token in tokens:
        if token == last:
            return
