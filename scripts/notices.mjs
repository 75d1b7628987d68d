// The licences of the shared libraries that a package ships, as the Debian packages that they come from state them.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** What is shipped, by the name before `.so`: a sentence for the reader and the licence texts that belong to it. */
const KNOWN = {
  libdnnl: {
    about:
      "oneDNN, under the Apache License 2.0. It contains Xbyak and parts of Intel's Instrumentation and Tracing " +
      "Technology API (Copyright (c) 2005-2014 Intel Corporation), both under the 3-clause BSD licence below.",
    licences: ["Apache-2.0"],
  },
  libgomp: {
    about:
      "GCC's OpenMP runtime, under the GNU General Public License 3 or later with the GCC Runtime Library Exception 3.1, " +
      "which lets it be combined with programs under any licence.",
    licences: ["GPL-3"],
  },
  libOpenCL: {
    about:
      "The OpenCL loader ocl-icd, under the 2-clause BSD licence. oneDNN is linked to it; gradtape does not call it.",
    licences: [],
  },
};

/** What is NVIDIA's in the CUDA engine: what is there, and the terms that sections 1.1.2, 1.2 and 2.6 of its licence ask to pass on. */
const CUDA = `The CUDA engine of gradtape, compiled with NVIDIA's CUDA Toolkit. Linked into it, unchanged, is the CUDA runtime
(libcudart_static.a), and its kernels may have functions of libdevice in them. Both are listed as distributable in Attachment A of the

NVIDIA CUDA Toolkit End User License Agreement, https://docs.nvidia.com/cuda/eula/

and are Copyright (c) NVIDIA Corporation, all rights reserved. They are under that agreement and not under the Apache
License of gradtape: they are here to be used through gradtape only, and may not be taken out of it, changed, reverse engineered or
put under an open source licence. NVIDIA gives no warranty for them.

No other library of NVIDIA is in this package. The driver, cuDNN, cuBLAS and what they need are opened at run time where
they are installed, under their own licences.`;

const rule = "=".repeat(100);

/** The text of THIRD_PARTY_NOTICES.txt for libraries such as `libgomp.so.1`, with or without the CUDA engine. */
export function notices(libraries, cuda) {
  const parts = [
    "gradtape is under the Apache License 2.0 (see LICENSE). This folder also holds the following libraries, which are\n" +
      "not changed, only stripped of symbols. You may replace each of them by a compatible one of your own.",
  ];
  const licences = new Set();
  for (const library of libraries) {
    const known = KNOWN[library.split(".so")[0]];
    if (!known) throw new Error(`${library} is packed, and scripts/notices.mjs does not know its licence`);
    for (const licence of known.licences) licences.add(licence);
    const { name, source, version, copyright } = debianPackage(library);
    parts.push(
      `${rule}\n${library}\n\n${known.about}\n\n` +
        `From the Debian package ${name}. Its source code: https://snapshot.debian.org/package/${source}/${version}/\n\n` +
        copyright.trim(),
    );
  }
  if (cuda) parts.push(`${rule}\nlibgradtape_cuda.so\n\n${CUDA}`);
  for (const licence of licences) {
    const text = readFileSync(`/usr/share/common-licenses/${licence}`, "utf8");
    parts.push(`${rule}\nThe text of ${licence}\n\n${text.replace(/^\n+|\s+$/g, "")}`);
  }
  return `${parts.join("\n\n")}\n`;
}

function debianPackage(library) {
  try {
    const owner = execFileSync("dpkg-query", ["--search", `*/${library}`], { encoding: "utf8" });
    const name = owner.split(":")[0];
    const format = ["Package", "Version"].map((field) => `\${source:${field}}`).join(" ");
    const [source, version] = execFileSync("dpkg-query", ["--show", `--showformat=${format}`, name], {
      encoding: "utf8",
    }).split(" ");
    return { name, source, version, copyright: readFileSync(`/usr/share/doc/${name}/copyright`, "utf8") };
  } catch (cause) {
    throw new Error(
      `the licence of ${library} was not found: packages are made on Debian or Ubuntu, with the library from there`,
      { cause },
    );
  }
}
