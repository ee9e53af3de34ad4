set(TETHER_BOOT_SOURCES
  boot_system.cc boot_table.cc config_source.cc container_files.cc devices.cc early.cc fw_cfg.cc
  helper.cc in_root.cc link_devices.cc mount_list.cc root.cc root_plan.cc)
set(TETHER_BOOT_TESTS
  boot_table_test.cc config_source_test.cc container_files_test.cc devices_test.cc fw_cfg_test.cc helper_test.cc
  root_plan_test.cc)
