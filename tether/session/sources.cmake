set(TETHER_SESSION_SOURCES
  archive.cc child.cc container_init.cc container_mounts.cc environment.cc launch.cc namespaces.cc path_lookup.cc
  privileges.cc process_list.cc report.cc terminal.cc tools.cc users.cc)
set(TETHER_SESSION_TESTS
  environment_test.cc path_lookup_test.cc process_list_test.cc users_test.cc)
