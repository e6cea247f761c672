// app-config.js of the OHIF viewer (3.13) for an archive whose DICOMweb is at /dicom-web of the same origin.
// docs/viewers.md says what the two hooks at the end are for.

/** The node's measurements as rows of the measurement panel: OHIF lists by itself only what its own tools wrote. */
function listMeasurements({ storedMeasurementByAnnotationType, displaySet }) {
  if (displaySet.instance.Manufacturer !== 'echo-node') {
    return storedMeasurementByAnnotationType;
  }
  const listed = {};
  for (const measurement of displaySet.measurements) {
    const { imageId, frameNumber, ReferencedSOPInstanceUID, predecessorImageId } = measurement;
    const { tool, data } = annotationOf(measurement);
    (listed[tool] ||= []).push({
      sopInstanceUid: ReferencedSOPInstanceUID,
      predecessorImageId,
      annotation: {
        annotationUID: window.cornerstone.utilities.uuidv4(),
        data: { frameNumber, ...data },
        metadata: { toolName: tool, referencedImageId: imageId },
      },
    });
  }
  return listed;
}

const SHORT = {
  'Left Ventricular Ejection Fraction': 'EF',
  'Left Ventricular End Diastolic Volume': 'EDV',
  'Left Ventricular End Systolic Volume': 'ESV',
  'Interventricular Septum Diastolic Thickness': 'IVSd',
  'Left Ventricle Internal End Diastolic Dimension': 'LVIDd',
  'Left Ventricle Posterior Wall Diastolic Thickness': 'LVPWd',
  'Left Ventricle Internal Systolic Dimension': 'LVIDs',
  'Left Ventricle Mass': 'LV mass',
  'Left ventricular relative wall thickness': 'RWT',
  'Left ventricular mass (dimension method) 2D / BSA': 'LV mass index',
  'Certainty of Finding': 'certainty',
};

/** A wall line as a length; all else as an arrow with its text, to where it was measured. */
function annotationOf({ imageId, coords, labels, TrackingIdentifier }) {
  const { GraphicData } = coords[0];
  const toWorld = (x, y) => window.cornerstone.utilities.imageToWorldCoords(imageId, [x, y]);
  const numbers = labels
    .filter(({ label }) => label !== '363698007') // the finding site, which OHIF puts among the numbers
    .map(({ label, value }) => ({ name: SHORT[label] || label, value: value.replace('{ratio}', '').trim() }));
  const [x, y, x2, y2] = GraphicData;
  const textBox = { hasMoved: false };
  if (GraphicData.length === 4 && numbers.length === 1) {
    // With its name for a label a line that is moved and saved is a correction of this number.
    const label = `${numbers[0].name} (${numbers[0].value})`;
    const handles = { points: [toWorld(x, y), toWorld(x2, y2)], textBox };
    return { tool: 'Length', data: { label, handles, cachedStats: {} } };
  }
  // No outline as an outline: the area that OHIF 3.13 shows beside one on ultrasound is of pixels, and says cm.
  const label = `${numbers.map(({ name, value }) => `${name} ${value}`).join(', ')}: ${TrackingIdentifier}`;
  const handles = { points: [toWorld(x, y), toWorld(x + 60, y + 60)], textBox, arrowFirst: true };
  return { tool: 'ArrowAnnotate', data: { label, text: label, handles, cachedStats: {} } };
}

/** Whoever is logged in is the report's Person Observer: OHIF writes "unknown^unknown". */
function nameObserver({ naturalizedReport }) {
  const profile = window.services.userAuthenticationService.getUser()?.profile;
  if (profile) {
    const name = profile.family_name ? `${profile.family_name}^${profile.given_name || ''}` : profile.name;
    const isObserver = item => item.ConceptNameCodeSequence?.CodeValue === '121008';
    naturalizedReport.ContentSequence.find(isObserver).PersonName = name;
  }
}

window.config = {
  routerBasename: '/',
  extensions: [],
  modes: [],
  showStudyList: true,
  defaultDataSourceName: 'archive',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'archive',
      configuration: {
        friendlyName: 'archive',
        name: 'archive',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/dicom-web',
        qidoSupportsIncludeField: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
  customizationService: [
    {
      onBeforeSRHydration: { $set: { value: listMeasurements } },
      onBeforeDicomStore: { $set: nameObserver },
    },
  ],
};
