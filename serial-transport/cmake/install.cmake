# What find_package(serial-transport) finds: one archive with common/ and Asio in it, and the headers
# that a user of connections needs.
include(CMakePackageConfigHelpers)

add_library(serial-transport-bundle STATIC $<TARGET_OBJECTS:common> $<TARGET_OBJECTS:tether-asio>
            $<TARGET_OBJECTS:serial-transport>)
set_target_properties(serial-transport-bundle PROPERTIES
  OUTPUT_NAME serial-transport EXPORT_NAME serial-transport LINKER_LANGUAGE CXX
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bundle)
target_compile_features(serial-transport-bundle PUBLIC cxx_std_20)
target_compile_definitions(serial-transport-bundle INTERFACE ${asio_definitions})
target_link_libraries(serial-transport-bundle INTERFACE Boost::headers Threads::Threads)
target_include_directories(serial-transport-bundle INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/serial-transport>)

set(root ${CMAKE_INSTALL_INCLUDEDIR}/serial-transport)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/serial-transport)
install(TARGETS serial-transport-bundle EXPORT serial-transport-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT serial-transport)
install(FILES byte_queue.h connection.h endpoint.h handler.h link.h reason.h types.h
        DESTINATION ${root}/serial-transport COMPONENT serial-transport)
install(FILES ${TETHER_ROOT}/common/result.h ${TETHER_ROOT}/common/unique_fd.h
        DESTINATION ${root}/common COMPONENT serial-transport)
install(EXPORT serial-transport-targets NAMESPACE serial-transport:: DESTINATION ${package}
        COMPONENT serial-transport)
configure_file(cmake/serial-transport-config.cmake.in serial-transport-config.cmake COPYONLY)
write_basic_package_version_file(serial-transport-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/serial-transport-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/serial-transport-config-version.cmake
        DESTINATION ${package} COMPONENT serial-transport)

# The example, built against an installed tree as a stranger would. The installed archive of a
# sanitized build would need the same flags there.
if(BUILD_TESTING AND NOT TETHER_SANITIZE)
  add_test(NAME serial_transport_package
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cmake/package_test.sh ${CMAKE_BINARY_DIR}
                   ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/package ${CMAKE_CXX_COMPILER})
  set_tests_properties(serial_transport_package PROPERTIES LABELS package TIMEOUT 300)
endif()
