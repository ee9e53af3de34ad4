set(TETHER_SESSION_SOURCES
  child.cc container_mounts.cc environment.cc launch.cc namespaces.cc path_lookup.cc privileges.cc report.cc
  terminal.cc users.cc)
set(TETHER_SESSION_TESTS
  environment_test.cc path_lookup_test.cc users_test.cc)
