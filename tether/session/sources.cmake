set(TETHER_SESSION_SOURCES
  archive.cc child.cc confinement.cc container_init.cc container_mounts.cc environment.cc launcher.cc limits.cc login.cc machine_devices.cc namespaces.cc nested_group.cc path_lookup.cc
  privileges.cc process_list.cc report.cc resolve.cc terminal.cc terminal_modes.cc tools.cc unlz4.cc users.cc worker.cc
  sftp/sftp.cc sftp/sftp_files.cc sftp/sftp_paths.cc sftp/sftp_server.cc)
set(TETHER_SESSION_TESTS
  confinement_test.cc container_mounts_test.cc environment_test.cc nested_group_test.cc path_lookup_test.cc process_list_test.cc resolve_test.cc terminal_modes_test.cc unlz4_test.cc users_test.cc
  sftp/sftp_server_test.cc)
