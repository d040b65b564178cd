"""What must be in our text where the predecessor's vectors have an error of theirs."""

# The words of its base64 and URL libraries are not kept, only the failure and its kind.
CORE_PHRASES = {
    "X07": "vless missing port",
    "X09": "port must be > 0",
    "X11": "reality pbk format is invalid",
    "X47": "vmess url missing payload",
    "X48": "not base64",
    "X64": "plugin not supported by xray",
    "X90": "unsupported scheme",
    "X91": "url at index 1 is empty",
}
