"""Name servers from the files of netifd and of everybody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.outbounds.name_servers import by_interface, known

NETIFD = """# Interface lan
nameserver 192.168.1.7
# Interface wan
nameserver 198.51.100.53
nameserver 198.51.100.54
search example
# Interface wan6
nameserver 2001:db8::53
nameserver fe80::1%wan
"""


def test_the_servers_of_an_interface_are_told_apart():
    assert by_interface(NETIFD) == {
        "lan": ["192.168.1.7"],
        "wan": ["198.51.100.53", "198.51.100.54"],
        "wan6": ["2001:db8::53", "fe80::1"],
    }


def test_the_router_itself_is_no_server_of_a_line():
    assert by_interface("nameserver 127.0.0.1\nnameserver ::1\nnameserver 127.0.0.53\nnameserver 0.0.0.0\n") == {}


def test_the_first_file_that_has_servers_is_believed(tmp_path):
    auto, plain = tmp_path / "auto", tmp_path / "resolv.conf"
    files = (str(tmp_path / "absent"), str(auto), str(plain))
    assert known("wan", files) == ()
    plain.write_text("options edns0\nnameserver 9.9.9.9\nnameserver 9.9.9.9\n")
    assert known("wan", files) == ("9.9.9.9",)
    auto.write_text("# Interface wan\n")
    assert known("wan", files) == ("9.9.9.9",)
    auto.write_text(NETIFD)
    assert known("wan", files) == ("198.51.100.53", "198.51.100.54")
    assert known("vpn", files) == ("192.168.1.7", "198.51.100.53", "198.51.100.54")


@given(st.text(max_size=300))
def test_garbage_never_raises(text):
    by_interface(text)
    by_interface("nameserver " + text)
