set(TETHER_BOOT_SOURCES
  backdoor.cc boot_system.cc boot_table.cc config_disk_source.cc config_source.cc container_files.cc device_rules.cc devices.cc early.cc fw_cfg.cc
  guestinfo.cc guestinfo_main.cc guestinfo_state.cc gunzip.cc   helper.cc hooks.cc in_root.cc limits.cc link_devices.cc mount_list.cc
  online.cc power_button.cc root.cc root_plan.cc thrashing.cc volume_fill.cc volume_main.cc
  volume_users.cc volumes.cc watchdog.cc)
set(TETHER_BOOT_TESTS
  boot_table_test.cc config_disk_source_test.cc config_source_test.cc guestinfo_main_test.cc guestinfo_state_test.cc guestinfo_test.cc gunzip_test.cc container_files_test.cc device_rules_test.cc devices_test.cc fw_cfg_test.cc helper_test.cc hooks_test.cc limits_test.cc
  power_button_test.cc root_plan_test.cc thrashing_test.cc)
