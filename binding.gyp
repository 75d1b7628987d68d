# For `npx node-gyp rebuild`: CMake does the work, so that there is one build description.
{
  "targets": [
    {
      "target_name": "gradtape_cmake",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(module_root_dir)/build/Release/gradtape.node"],
          "action": ["node", "scripts/build-native.mjs"]
        }
      ]
    }
  ]
}
