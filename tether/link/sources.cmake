set(TETHER_LINK_SOURCES
  attach.cc attach_input.cc clock_server.cc connection_pump_driver.cc control_changes.cc control_client.cc control_requests.cc control_server.cc
  exec_spec.cc link_hand_over.cc link_main.cc link_process_driver.cc link_services_driver.cc ring_view.cc session_table.cc ssh_login_driver.cc ssh_server_driver.cc stats.cc stdin_writer.cc
  stdio_server.cc supervisor_channel_driver.cc upload.cc)
set(TETHER_LINK_TESTS
  clock_server_test.cc control_server_test.cc control_exec_test.cc control_helpers_test.cc exec_spec_test.cc link_hand_over_test.cc link_process_test.cc login_requests_test.cc stats_test.cc stdin_writer_test.cc attach_test.cc stdio_server_output_test.cc stdio_server_test.cc)
