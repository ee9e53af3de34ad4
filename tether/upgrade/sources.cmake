set(TETHER_UPGRADE_SOURCES
  programs.cc resume.cc resume_step.cc signature.cc state_network.cc state_saved.cc state_session.cc
  state_supervisor.cc state_tables.cc state_versions.cc verify_main.cc)
set(TETHER_UPGRADE_TESTS agent_state_test.cc filled_state.cc verify_test.cc)
