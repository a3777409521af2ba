import { z } from 'zod';

/**
 * The part of SPDX 2.3 that our documents use, written by hand from the specification and its JSON schema: strict, so
 * that a field that the specification does not have is an error. It is not that schema itself.
 * @see https://spdx.github.io/spdx-spec/v2.3/
 */
const id = z.string().regex(/^SPDXRef-[a-zA-Z0-9.-]+$/);
const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const checksum = z.discriminatedUnion('algorithm', [
  z.strictObject({ algorithm: z.literal('SHA1'), checksumValue: z.string().regex(/^[0-9a-f]{40}$/) }),
  z.strictObject({ algorithm: z.literal('SHA256'), checksumValue: z.string().regex(/^[0-9a-f]{64}$/) }),
]);
const agent = z.string().regex(/^(Person|Organization|Tool): \S/);

const packageSchema = z
  .strictObject({
    SPDXID: id,
    name: z.string().min(1),
    versionInfo: z.string().min(1).optional(),
    packageFileName: z.string().min(1).optional(),
    supplier: agent.optional(),
    downloadLocation: z.string().min(1),
    filesAnalyzed: z.boolean(),
    packageVerificationCode: z
      .strictObject({ packageVerificationCodeValue: z.string().regex(/^[0-9a-f]{40}$/) })
      .optional(),
    checksums: z.array(checksum).min(1).optional(),
    homepage: z.url().optional(),
    sourceInfo: z.string().optional(),
    licenseConcluded: z.string().min(1),
    licenseDeclared: z.string().min(1),
    licenseInfoFromFiles: z.array(z.string()).optional(),
    copyrightText: z.string().min(1),
    comment: z.string().optional(),
    externalRefs: z
      .array(
        z.strictObject({
          referenceCategory: z.enum(['OTHER', 'PERSISTENT-ID', 'SECURITY', 'PACKAGE-MANAGER']),
          referenceType: z.string(),
          referenceLocator: z.string().regex(/^\S+$/),
        }),
      )
      .optional(),
    primaryPackagePurpose: z
      .enum(['APPLICATION', 'LIBRARY', 'OPERATING-SYSTEM', 'SOURCE', 'FILE', 'OTHER'])
      .optional(),
  })
  // 7.9: the code is there exactly where the files were looked at.
  .refine((one) => one.filesAnalyzed === (one.packageVerificationCode !== undefined));

const fileSchema = z.strictObject({
  SPDXID: id,
  fileName: z.string().startsWith('./'),
  // 8.4: SHA-1 is the one that has to be there.
  checksums: z.array(checksum).refine((all) => all.some(({ algorithm }) => algorithm === 'SHA1')),
  licenseConcluded: z.string().min(1),
  licenseInfoInFiles: z.array(z.string()).min(1),
  copyrightText: z.string().min(1),
});

export const spdxSchema = z.strictObject({
  spdxVersion: z.literal('SPDX-2.3'),
  dataLicense: z.literal('CC0-1.0'),
  SPDXID: z.literal('SPDXRef-DOCUMENT'),
  name: z.string().min(1),
  // 6.5: an absolute URI without a fragment.
  documentNamespace: z.url().regex(/^[^#]+$/),
  creationInfo: z.strictObject({
    created: time,
    creators: z.array(agent).min(1),
    comment: z.string().optional(),
  }),
  packages: z.array(packageSchema).min(1),
  files: z.array(fileSchema),
  hasExtractedLicensingInfos: z.array(
    z.strictObject({
      licenseId: z.string().regex(/^LicenseRef-[a-zA-Z0-9.-]+$/),
      extractedText: z.string().min(1),
    }),
  ),
  relationships: z
    .array(
      z.strictObject({
        spdxElementId: id,
        relationshipType: z.enum(['DESCRIBES', 'CONTAINS', 'STATIC_LINK']),
        relatedSpdxElement: id,
      }),
    )
    .min(1),
});
