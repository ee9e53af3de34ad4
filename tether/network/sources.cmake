set(TETHER_NETWORK_SOURCES
  change.cc configure.cc dhcp_client.cc dhcp_main.cc dhcp_message.cc dhcp_socket.cc firewall.cc netlink.cc network_system.cc resolver.cc)
set(TETHER_NETWORK_TESTS change_test.cc configure_test.cc dhcp_client_test.cc network_system_test.cc resolver_test.cc)
